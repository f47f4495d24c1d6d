"""Runs the lesson and the engine tests on a real minikube with the official images: `python -m tools.real`.

It starts minikube with Calico, which enforces NetworkPolicies, and with the lesson's addons, deploys the stack `dev`
there, plays the lesson on it, runs the tests, and destroys the stack. With `--running STACK` it takes a stack that runs
already and leaves it there: that is how the sandbox stands in for minikube.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.recorder import ROOT

_MINIKUBE = (
    *("minikube", "start", "--driver=docker", "--cni=calico", "--cpus=max", "--memory=max"),
    "--addons=csi-hostpath-driver,volumesnapshots,ingress,metrics-server",
)
# What the stack needs of the addons, which are still starting when minikube says that it is done.
_ADDONS = (
    ("--namespace", "ingress-nginx", "deployment/ingress-nginx-controller", "--for=condition=Available"),
    ("--namespace", "kube-system", "statefulset/csi-hostpathplugin", "--for=jsonpath={.status.readyReplicas}=1"),
    ("--namespace", "kube-system", "deployment/metrics-server", "--for=condition=Available"),
    ("--namespace", "kube-system", "daemonset/calico-node", "--for=jsonpath={.status.numberReady}=1"),
)
# The tests of the program. The others are about the sandbox, the docs or the workflows.
TESTS = (
    *("autoscaler", "bad_configs", "default_storage_class", "drift", "example", "members", "metrics", "not_ready"),
    *("place", "platform_namespace", "preview", "rolling_update", "rotation", "takeover", "tls", "unreachable_cluster"),
)


def main(arguments: list[str]) -> int:
    """Does all of it; the exit code of the first command that fails."""
    parser = argparse.ArgumentParser(prog="python -m tools.real", description=__doc__)
    parser.add_argument("--running", metavar="STACK", help="a stack that runs already, instead of minikube and `dev`")
    parser.add_argument("--tests", nargs="*", default=TESTS, help="names of tests/engine/test_NAME.py")
    given = parser.parse_args(arguments)
    try:
        if given.running:
            _try(given.running, os.environ, given.tests)
        else:
            _start_minikube()
            _deploy_and_try("dev", given.tests)
    except subprocess.CalledProcessError as failed:
        print(f"error: {' '.join(failed.cmd)} ended with {failed.returncode}", file=sys.stderr)
        return failed.returncode or 1
    except KeyboardInterrupt:
        return 130
    return 0


def _start_minikube() -> None:
    _run(*_MINIKUBE)
    for wanted in _ADDONS:
        _run("kubectl", "wait", "--timeout=300s", *wanted)


def _deploy_and_try(stack: str, tests: list[str]) -> None:
    """Deploys a committed stack, whose state is in a folder of its own, and destroys it, whatever happens."""
    with tempfile.TemporaryDirectory() as state:
        Path(state, "passphrase").write_text("of no use elsewhere")
        env = os.environ | {
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": f"{state}/passphrase",
        }
        config_file = ROOT / f"Pulumi.{stack}.yaml"
        committed = config_file.read_text()
        try:
            _run("pulumi", "stack", "init", stack, env=env)
            _run("pulumi", "up", "--yes", "--skip-preview", "--stack", stack, "--policy-pack", "policy", env=env)
            _try(stack, env, tests)
        except BaseException:
            with contextlib.suppress(subprocess.CalledProcessError):  # the first failure is the one to tell
                _destroy(stack, env)
            raise
        else:
            _destroy(stack, env)
        finally:
            config_file.write_text(committed)  # `stack init` adds a salt


def _destroy(stack: str, env: Mapping[str, str]) -> None:
    _run("pulumi", "destroy", "--yes", "--skip-preview", "--stack", stack, env=env)


def _try(stack: str, env: Mapping[str, str], tests: list[str]) -> None:
    ours = {**env, "PULUMI_STACK": stack, "TEST_STACK": stack, "TEST_NODE": _ingress_address(stack, env)}
    _run(sys.executable, "-m", "tools.lesson", env=ours)
    files = [f"tests/engine/test_{name}.py" for name in tests]
    _run(sys.executable, "-m", "pytest", "-v", *files, env=ours)


def _ingress_address(stack: str, env: Mapping[str, str]) -> str:
    """The address at which the node's controller answers: of the machine, which reaches minikube's network."""
    command = ["pulumi", "stack", "output", "ingress_ip", "--stack", stack]
    done = subprocess.run(command, cwd=ROOT, env=dict(env), stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def _run(*command: str, env: Mapping[str, str] | None = None) -> None:
    print(f"$ {' '.join(command)}", flush=True)
    subprocess.run(command, cwd=ROOT, env=dict(env or os.environ), stdin=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
