"""Plays the lesson on the running stack: each command as the lesson has it, what it prints, and whether it holds.

`make demo` runs it. It uses nothing but kubectl, and HTTP through the Ingress and through a port-forward, as a person
would. What it changed by hand (the number of pods) it puts back.
"""

import http.client
import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_LIST = 10
_POINTS = 10
_PORT = 9090
# Seconds. What one command or one wait may take before the step counts as failed.
_COMMAND_SECONDS = 120.0
_BACK_SECONDS = 30.0
_SCALE_SECONDS = 120.0

T = TypeVar("T")


class StepError(Exception):
    """A step of the lesson that does not hold: what was expected, and what there was."""


def main() -> None:
    """Plays all of it, or, with --wait, only waits until it could. Exits with 1 where a step does not hold."""
    try:
        if sys.argv[1:] == ["--wait"]:
            # After a start of the node, the pods that it had need some seconds.
            outputs = _outputs()
            _until(lambda: _answers(outputs), _SCALE_SECONDS, "the game answers")
        else:
            play()
    except StepError as problem:
        print(f"\nThis step does not hold: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def play() -> None:
    """The steps.

    Raises:
        StepError: One does not hold.
    """
    outputs = _outputs()
    url, namespace = outputs["url"], outputs["namespace"]
    if not url:
        raise StepError("the stack has no URL: the Ingress has no address; `pulumi up --refresh` reads it again")

    _show_what_runs(namespace, outputs["storage_class"])
    name, points = _save_score(url)

    _title("The database's pod is deleted; the score is not")
    _run(f"kubectl delete pod mongo-0 -n {namespace}")
    began = time.monotonic()
    _until(lambda: _listed(url, name, points), _BACK_SECONDS, f"{name} is in the list again")
    _say(f"{name} was back {time.monotonic() - began:.1f} s after the old pod was gone")

    _scale(namespace)

    _title("Without the Ingress: a port-forward")
    with _port_forward(namespace):
        page = f"http://127.0.0.1:{_PORT}/"
        _until(lambda: _listed(page, name, points), _BACK_SECONDS, f"{page} serves the same list")

    print(f"\nThe lesson holds. Play it yourself: {url}")


def _show_what_runs(namespace: str, storage_class: str) -> None:
    _title("The default StorageClass is the one that the stack promotes")
    _run("kubectl get storageclass")
    defaults = _from_json("kubectl get storageclass --output json", _default_classes)
    _expect(defaults == [storage_class], f"{storage_class} is the default, the only one", defaults)

    _title("What runs")
    _run(f"kubectl get statefulset,deployment,service,ingress,pod -n {namespace}")
    _run(f"kubectl get persistentvolumeclaim -n {namespace}")
    _run("kubectl get persistentvolume")
    _run(f"kubectl rollout status statefulset/mongo -n {namespace} --timeout=60s")
    _run(f"kubectl rollout status deployment/pacman -n {namespace} --timeout=60s")


def _save_score(url: str) -> tuple[str, int]:
    """Saves a score that is high enough for the list; returns its name and points."""
    _title(f"A score, posted through the Ingress at {url}")
    name = f"lesson-{secrets.token_hex(3)}"
    scores = _scores(url)
    points = _POINTS + (int(scores[-1]["score"]) if len(scores) >= _LIST else 0)
    _say(f"POST {url}highscores  name={name} score={points} level=1")
    answer = _post(url, name, points)
    _say(json.dumps(answer))
    _expect(answer.get("rs") == "success", "the answer says success", answer)
    _until(lambda: _listed(url, name, points), _BACK_SECONDS, f"{name} is in the list of {url}highscores/list")
    return name, points


def _scale(namespace: str) -> None:
    """Scales to ten pods and back."""
    _title("Ten Pacmans")
    before = int(
        _from_json(f"kubectl get deployment pacman -n {namespace} --output json", lambda d: d["spec"]["replicas"])
    )
    try:
        _run(f"kubectl scale deployment pacman -n {namespace} --replicas=10")
        _run(f"kubectl rollout status deployment/pacman -n {namespace} --timeout={_SCALE_SECONDS:.0f}s")
        _run(f"kubectl get pods -n {namespace}")
        ready = _from_json(f"kubectl get deployment pacman -n {namespace} --output json", lambda d: d["status"])
        _expect(ready.get("readyReplicas") == 10, "10 pods are ready", ready)
    finally:
        _run(f"kubectl scale deployment pacman -n {namespace} --replicas={before}")
    _run(f"kubectl rollout status deployment/pacman -n {namespace} --timeout={_SCALE_SECONDS:.0f}s")
    _say("To keep ten: pulumi config set pacmanReplicas 10, then pulumi up")


def _outputs() -> dict[str, str]:
    outputs: dict[str, str] = json.loads(_quiet("pulumi", "stack", "output", "--json"))
    if "url" not in outputs:
        stack = os.environ.get("PULUMI_STACK", "sandbox")
        raise StepError(f"the stack is not up: {'make up' if stack == 'sandbox' else f'pulumi up --stack {stack}'}")
    return outputs


def _default_classes(listing: dict[str, Any]) -> list[str]:
    mark = "storageclass.kubernetes.io/is-default-class"
    marked = [each["metadata"] for each in listing["items"]]
    return [each["name"] for each in marked if (each.get("annotations") or {}).get(mark) == "true"]


@contextmanager
def _port_forward(namespace: str) -> Iterator[None]:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", _PORT)) == 0:
            raise StepError(f"port {_PORT} of this machine is in use: end what listens there, and run it again")
    command = f"kubectl port-forward service/pacman {_PORT}:80 -n {namespace}"
    _say(f"$ {command}")
    forward = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        forward.terminate()
        forward.communicate()


# --- HTTP ------------------------------------------------------------------------------------------------------------


def _post(url: str, name: str, points: int) -> dict[str, Any]:
    fields = {"name": name, "cloud": "", "zone": "", "host": "", "score": points, "level": 1}
    request = urllib.request.Request(f"{url}highscores", urllib.parse.urlencode(fields).encode())  # noqa: S310 - http
    return dict(_answer(request))


def _scores(url: str) -> list[dict[str, Any]]:
    return list(_answer(urllib.request.Request(f"{url}highscores/list")))  # noqa: S310


def _listed(url: str, name: str, points: int) -> bool:
    try:
        return any(each["name"] == name and each["score"] == points for each in _scores(url))
    except StepError:
        return False


def _answers(outputs: dict[str, str]) -> bool:
    """Whether there is a game behind the Ingress; asked at its address, since its name may lead nowhere yet."""
    connection = http.client.HTTPConnection(outputs["ingress_ip"], timeout=5)
    try:
        connection.request("GET", "/highscores/list", headers={"Host": urllib.parse.urlsplit(outputs["url"]).netloc})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _answer(request: urllib.request.Request) -> Any:  # noqa: ANN401 - any JSON
    try:
        with urllib.request.urlopen(request, timeout=15) as response:  # noqa: S310
            return json.loads(response.read())
    except (urllib.error.URLError, OSError, ValueError) as problem:
        raise StepError(f"{request.full_url} does not answer as it should: {problem}") from None


# --- Commands and words ----------------------------------------------------------------------------------------------


def _title(text: str) -> None:
    print(f"\n── {text}", flush=True)


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def _run(command: str) -> None:
    """Shows a command and runs it, its output as it comes."""
    _say(f"$ {command}")
    sys.stdout.flush()
    try:
        done = subprocess.run(shlex.split(command), timeout=_COMMAND_SECONDS + 60, check=False)
    except subprocess.TimeoutExpired:
        raise StepError(f"`{command}` did not end") from None
    if done.returncode:
        raise StepError(f"`{command}` ended with {done.returncode}")


def _quiet(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    except FileNotFoundError:
        raise StepError(f"{command[0]} is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise StepError(f"`{' '.join(command)}` did not end") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StepError(f"`{' '.join(command)}`: {reason}")
    return done.stdout


def _from_json(command: str, pick: Callable[[Any], T]) -> T:
    return pick(json.loads(_quiet(*shlex.split(command))))


def _expect(holds: object, what: str, there: object) -> None:
    if not holds:
        raise StepError(f"expected: {what}; there is: {there}")
    _say(f"✓ {what}")


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise StepError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)
    _say(f"✓ {what}")


if __name__ == "__main__":
    main()
