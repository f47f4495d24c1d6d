"""The cluster: one to three nodes, the first of which runs the control plane."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import yaml

from sandbox import network, node, parts
from sandbox.build import Part, remove
from sandbox.node import Node, write_private
from sandbox.places import CONTEXT, FILES, STATE, SandboxError
from sandbox.progress import Progress

_COUNT: Final = STATE / "nodes"
"""How many nodes the last `up` was asked for."""
_KUBECONFIG: Final = STATE / "kubeconfig"
_DRAIN_SECONDS: Final = 120
_KERNEL: Final = STATE / "kernel.json"
"""The kernel's settings before the first node started, with the boot that they are of."""
# What a kubelet sets, for the whole machine: the kernel has these once, not once for each namespace.
_TUNABLES: Final = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)


def start(count: int, built: list[Part], progress: Progress) -> None:
    """Starts `count` nodes, as many as the last time if it is 0, and removes the others; returns when pods can run.

    SandboxError if the addresses are taken, something does not come up, or a node that is too many has data.
    """
    count = count or size() or 1
    wanted = node.ALL[:count]
    for each in node.ALL:
        if each.pid() is not None and not each.is_current:
            progress.say(f"  {each.name} is of other versions, or its start was interrupted: it is started again")
            each.stop()
    if not any(each.pid() for each in node.ALL):
        network.remove()
        network.check()
    _start_node(node.FIRST, progress)
    with progress.step("waiting for the API server"):
        node.FIRST.wait_for(
            "kube-apiserver", lambda: kubectl("get", "--raw", "/readyz", "--request-timeout=5s") == "ok"
        )
    _remove_nodes(node.ALL[count:], progress)
    write_private(_COUNT, str(count))
    for each in wanted[1:]:
        _start_node(each, progress)
    with progress.step("loading images"), ThreadPoolExecutor() as pool:
        list(pool.map(lambda each: each.load_images(built), wanted))
    with progress.step("waiting for the cluster to be ready"):
        _apply(node.FIRST.folder / "applied", (node.FIRST.folder / "started").read_text())
        for each in wanted:
            each.wait_for("kubelet", partial(_is_ready, each))
        dns = ("get", "deployment", "coredns", "--namespace", "kube-system")
        available = ("--output", "jsonpath={.status.availableReplicas}")
        node.FIRST.wait_for("kubelet", lambda: kubectl(*dns, *available) not in ("", "0"))
        node.FIRST.wait_for("ingress-controller", _ingress_answers)


def size() -> int:
    """How many nodes the cluster has, whether they run or not; 0 before it is made."""
    return int(_COUNT.read_text()) if _COUNT.exists() else 0


def stop() -> bool:
    """Ends all nodes and removes what they leave on this machine; returns whether one ran."""
    ran = [each.stop() for each in reversed(node.ALL)]
    if not network.is_anothers():
        network.remove()
        _restore_kernel()
    return any(ran)


def start_again(each: Node, progress: Progress) -> None:
    """Starts a node that was stopped, and waits until it is ready; SandboxError if it is none of the cluster's."""
    if each.number > size():
        raise SandboxError(f"{each.name} is no node of this cluster: `make up NODES={each.number}` adds it")
    _start_node(each, progress)
    with progress.step(f"waiting for {each.name} to be ready"):
        each.wait_for("kubelet", partial(_is_ready, each))


def remove_data() -> None:
    """Deletes the nodes' disks: etcd, images, volumes, keys."""
    if any(each.pid() for each in node.ALL):
        raise SandboxError("the node runs: `make stop` first")
    remove(*(each.folder for each in node.ALL), _KUBECONFIG, _COUNT)


def kubectl(*arguments: str, stdin: str = "", check: bool = False) -> str:
    """What kubectl prints; if it fails, nothing, or SandboxError if that is checked."""
    command = [str(parts.NODE_PROGRAMS.folder / "kubectl"), "--kubeconfig", str(_KUBECONFIG), *arguments]
    env = os.environ | network.without_proxy() | {"KUBECACHEDIR": str(STATE / "kubectl-cache")}
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SandboxError(f"kubectl {arguments[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip() if done.returncode == 0 else ""


# --- Pieces ----------------------------------------------------------------------------------------------------------


def _remember_kernel() -> None:
    """Notes down the settings that a kubelet changes. A node that was not stopped has changed them already."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    if _KERNEL.exists() and json.loads(_KERNEL.read_text())["boot"] == boot:
        return
    values = {name: Path("/proc/sys", name).read_text() for name in _TUNABLES}
    STATE.mkdir(mode=0o700, exist_ok=True)
    write_private(_KERNEL, json.dumps({"boot": boot, "values": values}))


def _restore_kernel() -> None:
    """Gives the kernel the settings back that it had before the first node started."""
    if not _KERNEL.exists():
        return
    noted = json.loads(_KERNEL.read_text())
    if noted["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text():
        for name, value in noted["values"].items():
            Path("/proc/sys", name).write_text(value)
    _KERNEL.unlink()


def _start_node(each: Node, progress: Progress) -> None:
    """Starts a node that does not run, and writes the administrator's kubeconfig."""
    if each.pid() is None:
        with progress.step(f"starting {each.name}"):
            if each is not node.FIRST:
                _write_keys(each)
            _remember_kernel()
            each.start()
    _write_kubeconfig()


def _write_keys(worker: Node) -> None:
    """Gives a node other than the first a kubeconfig, and no key but its own."""
    name = f"system:node:{worker.name}"
    made = node.FIRST.run(
        *("kubeadm", "kubeconfig", "user", "--client-name", name, "--org", "system:nodes"),
        *("--config", "/etc/sandbox/kubeadm.yaml"),
    )
    if made.returncode:
        raise SandboxError(f"kubeadm makes no kubeconfig for {worker.name}: {made.stderr.strip()[-300:]}")
    kubeconfigs, keys = worker.data / "kubeconfig", worker.data / "pki"
    for folder in (kubeconfigs, keys):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(kubeconfigs / "kubelet.conf", made.stdout)
    write_private(kubeconfigs / "kube-proxy.conf", (node.FIRST.data / "kubeconfig/kube-proxy.conf").read_text())
    shutil.copy(node.FIRST.data / "pki/ca.crt", keys / "ca.crt")


def _is_ready(each: Node) -> bool:
    """Whether a node is ready, and has said so since it started: the API server believes an old answer for 40 s."""
    ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    lease = ("get", "lease", each.name, "--namespace", "kube-node-lease", "--output", "jsonpath={.spec.renewTime}")
    if kubectl("get", "node", each.name, "--output", ready) != "True" or not (renewed := kubectl(*lease)):
        return False
    return datetime.fromisoformat(renewed).timestamp() > (each.folder / "started").stat().st_mtime


def _write_kubeconfig() -> None:
    """The administrator's kubeconfig, under a context name of our own."""
    config = yaml.safe_load((node.FIRST.data / "kubeconfig/super-admin.conf").read_text())
    (context,) = config["contexts"]
    context["name"] = config["current-context"] = CONTEXT
    write_private(_KUBECONFIG, yaml.safe_dump(config))


def _remove_nodes(superfluous: "tuple[Node, ...]", progress: Progress) -> None:
    """Takes nodes out of the cluster. What lies on their disks stays, and is found again when they come back.

    SandboxError if a volume that is in use lies on one, or if a pod cannot leave one.
    """
    known = kubectl("get", "nodes", "--output", "jsonpath={.items[*].metadata.name}", check=True).split()
    leaving = [each for each in superfluous if each.name in known]
    for each in leaving:
        if claims := _claims_on(each):
            raise SandboxError(
                f"{each.name} has the volumes of {', '.join(claims)}, which cannot move:"
                " destroy what uses them (`make down` for the stack of `make up`), or keep the node: `make up`"
            )
    for each in leaving:
        with progress.step(f"removing {each.name}"):
            options = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--timeout={_DRAIN_SECONDS}s"]
            try:
                if each.pid() is not None:
                    kubectl("drain", each.name, *options, check=True)
            except BaseException:  # an interruption, too: the node stays, and must take pods again
                kubectl("uncordon", each.name)
                raise
            each.stop()
            kubectl("delete", "node", each.name, check=True)


def _claims_on(each: Node) -> list[str]:
    """The claims, as `namespace/name`, whose volumes lie on a node."""
    volumes = json.loads(kubectl("get", "persistentvolumes", "--output", "json", check=True))["items"]
    return [
        f"{volume['spec']['claimRef']['namespace']}/{volume['spec']['claimRef']['name']}"
        for volume in volumes
        if volume["status"]["phase"] == "Bound" and f'"{each.name}"' in json.dumps(volume["spec"].get("nodeAffinity"))
    ]


def _apply(record: Path, start: str) -> None:
    """Applies the cluster's own objects, once for each start of the first node, whose versions cover them.

    The storage classes only where they are missing: their marks may have been moved.
    """
    if record.exists() and record.read_text() == start:
        return
    kubectl("apply", "--filename", str(FILES / "rootfs/manifests"), check=True)
    if not kubectl("get", "storageclass", "standard", "--ignore-not-found", "--output", "name", check=True):
        kubectl("apply", "--filename", str(FILES / "rootfs/storage-classes.yaml"), check=True)
    record.write_text(start)


def _ingress_answers() -> bool:
    """Whether the controller has written its first configuration, as it says inside the node."""
    asked = "exec 3<>/dev/tcp/127.0.0.1/10254; printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3; head -n 1 <&3"
    return " 200 " in node.FIRST.run("bash", "-c", asked).stdout
