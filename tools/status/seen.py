"""What the cluster has of a stack: its objects, what the database's members say, volumes, certificate."""

import base64
import json
import re
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

_SCRIPT = Path(__file__).with_name("member.js")
_KINDS = "statefulset,deployment,pod,job,cronjob,ingress"
# kubectl would try an address at which nobody listens for minutes.
_TIMEOUT = "--request-timeout=10s"

Object = Mapping[str, Any]
"""An object of the cluster, or another JSON object."""
T = TypeVar("T")


class CannotTellError(Exception):
    """The cluster does not answer, or denies what was asked for, or a program is missing; the message is one line."""


class FailedError(Exception):
    """What was asked for is not there, or a command in a pod failed; the message is one line."""


@dataclass(frozen=True)
class Disk:
    """How full a volume is, in bytes. What a file system reserves is neither used nor available."""

    used: int
    available: int

    @classmethod
    def of(cls, printed: str) -> Self:
        """Reads what `df -P -k PATH` prints.

        Raises:
            FailedError: It is something else.
        """
        found = re.search(r"^\S+ +\d+ +(\d+) +(\d+) +\d+%", printed, re.MULTILINE)
        if not found:
            raise FailedError("df printed something else than a table")
        return cls(int(found[1]) * 1024, int(found[2]) * 1024)


@dataclass(frozen=True)
class Seen:
    """What the cluster has of a stack."""

    kubectl: str
    """How a command begins that a person may type: kubectl with context and namespace."""
    objects: Sequence[Object]
    """The objects of the namespace, of the kinds that matter."""
    answers: Mapping[str, Object | Exception] = field(default_factory=dict)
    """Pod of the database to what member.js prints there, or why it could not; only the pods that had to be asked."""
    disks: Mapping[str, Disk | Exception] = field(default_factory=dict)
    """Pod of the database to how full its volume is."""
    expires: datetime | Exception | None = None
    """When the certificate expires; None if there is none."""

    def of(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def named(self, kind: str, name: str) -> Object | None:
        """The object of that kind and name."""
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    @property
    def pods(self) -> Mapping[str, Object]:
        """The pods of the database by name."""
        return {pod["metadata"]["name"]: pod for pod in self.of("Pod") if owner(pod) == ("StatefulSet", "mongo")}

    @property
    def tls_secret(self) -> str:
        """The Secret of the certificate; "" if the Ingress has none."""
        ingress = self.named("Ingress", "pacman") or {"spec": {}}
        return next((each["secretName"] for each in ingress["spec"].get("tls") or [] if "secretName" in each), "")

    @property
    def replica_set(self) -> Object | None:
        """The answer of a member that knows a primary, else of any that knows the set, else None.

        A member that is cut off from the others knows no primary, although there may be one.
        """
        answers = [each for each in self.answers.values() if isinstance(each, Mapping) and "error" not in each]
        return next(filter(primary_of, answers), next(iter(answers), None))


def look(run: Callable[..., str], kubectl: str) -> Seen:
    """Reads what the cluster has.

    Args:
        run: Runs kubectl with arguments, and with `stdin` if given. Returns what it prints; raises CannotTellError, or
            FailedError if a command in a pod failed.
        kubectl: How a command begins that a person may type.

    Raises:
        CannotTellError: The cluster does not answer, or denies to list the objects.
    """
    seen = Seen(kubectl, json.loads(run("get", _KINDS, "--output=json", _TIMEOUT))["items"])
    # A member that is ready comes first, since it answers at once.
    pods = sorted(seen.pods, key=lambda name: ("Ready" not in conditions(seen.pods[name]), name))
    with ThreadPoolExecutor() as together:
        disks = together.map(lambda pod: _or_reason(_disk, run, pod), pods)
        expires = together.submit(_or_reason, _expiry, run, seen.tls_secret)
        answers: dict[str, Object | Exception] = {}
        for pod in pods:
            answer = answers[pod] = _or_reason(_answer, run, pod)
            if isinstance(answer, Mapping) and primary_of(answer):
                break
        return replace(seen, answers=answers, disks=dict(zip(pods, disks, strict=True)), expires=expires.result())


def _or_reason(read: Callable[..., T], *arguments: Any) -> T | Exception:  # noqa: ANN401
    """What a read returns, or why it could not."""
    try:
        return read(*arguments)
    except (CannotTellError, FailedError) as problem:
        return problem


def _answer(run: Callable[..., str], pod: str) -> Object:
    # The script comes by stdin, and reads the password in the pod: no process has it in its arguments.
    mongosh = ("mongosh", "--quiet", "--norc", "--nodb", "--file", "/dev/stdin")
    printed = run("exec", "--stdin", pod, "--container=mongo", "--", *mongosh, stdin=_SCRIPT.read_text())
    try:
        answer: Object = json.loads(printed)
    except ValueError:
        raise FailedError("mongosh printed something else than the answer") from None
    return answer


def _disk(run: Callable[..., str], pod: str) -> Disk:
    return Disk.of(run("exec", pod, "--container=mongo", "--", "df", "-P", "-k", "/data/db"))


def _expiry(run: Callable[..., str], secret: str) -> datetime | None:
    if not secret:
        return None
    # The certificate without its key.
    certificate = r"--output=jsonpath={.data.tls\.crt}"
    coded = run("get", "secret", secret, certificate, "--ignore-not-found", _TIMEOUT)
    if not coded:
        raise FailedError(f"the Secret {secret} does not exist, or has no tls.crt")
    return expiry(base64.b64decode(coded))


def expiry(pem: bytes) -> datetime:
    """When the first certificate of a chain expires.

    Raises:
        CannotTellError: There is no `openssl` on PATH.
        FailedError: It is no certificate.
    """
    try:
        done = subprocess.run(["openssl", "x509", "-noout", "-enddate"], input=pem, capture_output=True, check=False)
    except FileNotFoundError:
        raise CannotTellError("openssl, which reads the certificate, is not on PATH") from None
    if done.returncode:
        raise FailedError("tls.crt is no certificate")
    end = done.stdout.decode().strip().removeprefix("notAfter=")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC)


def primary_of(replica_set: Object) -> Object | None:
    """The primary that a member knows."""
    return next((each for each in replica_set.get("members", []) if each["state"] == "PRIMARY"), None)


def owner(item: Object) -> tuple[str, str]:
    """Kind and name of an object's controller; "" for none."""
    owners = item["metadata"].get("ownerReferences") or []
    return next(((each["kind"], each["name"]) for each in owners if each.get("controller")), ("", ""))


def conditions(item: Object) -> set[str]:
    """The conditions of an object that are true."""
    return {each["type"] for each in item["status"].get("conditions") or [] if each["status"] == "True"}
