"""The node itself: that it is confined, comes back from crashes and power cuts, and serves while nginx reloads."""

import json
import os
import re
import secrets
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import parts
from sandbox.node import FIRST
from sandbox.places import CHECKOUT, STATE
from tests.harness.kubectl import Kubectl
from tests.harness.mongo import scores_of_tests_removed


def test_status_lists_every_service_and_every_part_with_its_origin() -> None:
    done = _sandbox("status")
    assert done.returncode == 0, done.stdout
    provider = os.environ.get("SANDBOX_PROVIDER") or "Go module github.com/pulumi/pulumi-kubernetes/provider/v4"
    assert provider in done.stdout
    assert re.search(r"^ +provider random +.*stand-in", done.stdout, re.MULTILINE)
    running = FIRST.status()
    assert len(running) == 9
    assert all(line.startswith("run: ") for line in running.values()), running


def test_nothing_on_the_node_leads_out_of_the_machine() -> None:
    routes = json.loads(_in_node("ip", "-json", "route"))
    assert routes
    assert not [route for route in routes if route["dst"] == "default"]


def test_only_root_reads_what_is_secret() -> None:
    for path in (STATE, FIRST.folder, STATE / "kubeconfig"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("service", ["kube-scheduler", "ingress-controller"])
def test_a_process_that_dies_is_started_again(service: str) -> None:
    before = _process(service)
    _in_node("kill", "-KILL", before)
    _until(lambda: _process(service) not in ("", before), f"{service} runs again")


def test_services_are_reached_after_kube_proxy_has_read_its_own_rules_back() -> None:
    # It does so when it starts, and each hour.
    before = _process("kube-proxy")
    _in_node("kill", "-KILL", before)
    _until(lambda: _process("kube-proxy") not in ("", before), "kube-proxy runs again")
    _until(_kube_proxy_has_synced, "kube-proxy has synced all rules")
    namespace = json.loads(_output("pulumi", "stack", "output", "--json"))["namespace"]
    # By name, which is a Service on UDP, to one on TCP.
    ask = "fetch('http://pacman/readyz').then(answer => console.log(answer.status))"
    pacman = ("-n", namespace, "deployment/pacman", "-c", "pacman")
    assert _output("kubectl", "exec", *pacman, "--", "node", "-e", ask) == "200\n"


def test_the_ingress_controller_serves_while_nginx_reloads() -> None:
    # Compiled with the controller, from the same sources; some 10 s of requests on the node's loopback.
    tests = f"/opt/parts/{parts.INGRESS.folder.name}/ingress.test"
    done = subprocess.run(
        [*FIRST.entering(), "sh", "-c", f"cd /tmp && NGINX_BINARY=/usr/sbin/nginx exec {tests} -test.skip Golden"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "PASS" in done.stdout


def test_a_score_and_the_default_class_outlive_a_power_cut() -> None:
    outputs = json.loads(_output("pulumi", "stack", "output", "--json"))
    with scores_of_tests_removed(Kubectl("sandbox", outputs["namespace"])):
        _cut_the_power(outputs, f"cut-{secrets.token_hex(4)}")


def _cut_the_power(outputs: dict[str, str], name: str) -> None:
    url = outputs["url"]
    lowest = _scores(url)[9]["score"] if len(_scores(url)) >= 10 else 0
    fields = {"name": name, "cloud": "", "zone": "", "host": "", "score": lowest + 10, "level": 1}
    body = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(f"{url}highscores", body, timeout=15) as response:  # noqa: S310 - our own node
        assert json.loads(response.read())["rs"] == "success"
    first = FIRST.pid()
    done = _sandbox("restart")
    assert done.returncode == 0, done.stderr
    assert FIRST.pid() != first, "the node went on"
    _until(lambda: name in [each["name"] for each in _scores(url)], "the score is listed again")
    marks = _output("kubectl", "get", "storageclass", outputs["storage_class"])
    assert "(default)" in marks


def test_a_start_that_was_killed_half_way_is_begun_anew() -> None:
    assert _sandbox("stop").returncode == 0
    starting = subprocess.Popen([sys.executable, "-m", "sandbox", "up"], cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    _until(lambda: FIRST.pid() is not None, "the node's first process is there")
    starting.kill()
    starting.wait()
    assert FIRST.pid() is not None, "it went with the command, so there is nothing to go on with"
    done = _sandbox("up")
    assert done.returncode == 0, done.stderr
    assert "its start was interrupted" in done.stdout + done.stderr
    url = json.loads(_output("pulumi", "stack", "output", "--json"))["url"]
    _until(lambda: _serves(url), "the game is served again")


# --- Pieces ----------------------------------------------------------------------------------------------------------


def _scores(url: str) -> list[dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{url}highscores/list", timeout=10) as response:  # noqa: S310
            return list(json.loads(response.read()))
    except OSError:
        return []


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}highscores/list", timeout=10) as response:  # noqa: S310
            return bool(response.status == 200)
    except OSError:
        return False


def _kube_proxy_has_synced() -> bool:
    done = FIRST.run("busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:10249/metrics")
    count = r'^kubeproxy_sync_full_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]'
    return re.search(count, done.stdout, flags=re.MULTILINE) is not None


def _process(service: str) -> str:
    status = _in_node("sv", "status", f"/run/services/{service}").split(";")[0]
    return status.partition("(pid ")[2].partition(")")[0] if status.startswith("run:") else ""


def _until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def _sandbox(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", command],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def _in_node(*command: str) -> str:
    done = FIRST.run(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True).stdout
