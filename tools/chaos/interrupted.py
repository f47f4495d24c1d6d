"""`pulumi up` that is ended before its time, at many moments: the next one has to complete what it began."""

import signal
import time
from collections import Counter
from typing import Final

from components.metadata import OURS
from tools.chaos.rig import Stack, say
from tools.game import Writer
from tools.measuring import MeasuringError, until

_UP: Final = ("up", "--yes", "--skip-preview")
_TRIES: Final = 4


def deployments(number: signal.Signals, count: int) -> tuple[list[float], list[str], str]:
    """Ends deployments of a new stack at `count` moments, evenly over the time that one takes.

    Returns:
        The moments, what the engine asked for after each, and what was wrong after the last one.
    """
    moments, asked = list[float](), list[str]()
    with Stack(1) as stack:
        seconds = _duration(stack)
    for moment in _spread(seconds, count):
        try:
            with Stack(1) as stack:
                wanted = _interrupt(stack, number, moment)
        except (MeasuringError, AssertionError) as problem:
            return moments, asked, f"at {moment:.1f} s: {problem}"
        moments.append(moment)
        asked.append(wanted)
        _say(moment, seconds, wanted)
    return moments, asked, ""


def changes(number: signal.Signals, count: int) -> tuple[list[float], list[str], str]:
    """Ends changes of one stack, which restart the game and its database, at `count` moments, under load.

    Returns:
        The moments, what the engine asked for after each, and what was wrong after the last one.
    """
    moments, asked = list[float](), list[str]()
    with Stack(1) as stack:
        stack.deploy()
        _change(stack, 0)
        seconds = _duration(stack)
        with Writer(stack.game, f"changed-{number.name.lower()}") as writer:
            try:
                for turn, moment in enumerate(_spread(seconds, count), 1):
                    _change(stack, turn)
                    asked.append(_interrupt(stack, number, moment))
                    moments.append(moment)
                    _say(moment, seconds, asked[-1])
            except (MeasuringError, AssertionError) as problem:
                return moments, asked, f"at {moment:.1f} s: {problem}"
        lost = stack.missing(writer.saved)
    return moments, asked, f"{lost} acknowledged scores are lost" if lost else ""


def _say(moment: float, seconds: float, asked: str) -> None:
    say(f"ended at {moment:.1f} s of {seconds:.1f} s; the next `up` completed it{f' after {asked}' if asked else ''}")


def _change(stack: Stack, turn: int) -> None:
    """A new template for the pods of the game and of its database, another one each time."""
    stack.change(mongoCpu=f"{100 + turn}m", pacmanCpu=f"{50 + turn}m")


def _spread(seconds: float, count: int) -> list[float]:
    return [seconds * (place + 0.5) / count for place in range(count)]


def _duration(stack: Stack) -> float:
    began = time.monotonic()
    stack.up().ok()
    return time.monotonic() - began


def _interrupt(stack: Stack, number: signal.Signals, moment: float) -> str:
    """Ends an `up`, has the next one complete it, and checks the result; returns what the engine asked for."""
    began = time.monotonic()
    running = stack.start(*_UP)
    until("the moment comes", lambda: running.ended or time.monotonic() - began >= moment, pause=0.02)
    if not running.ended:
        running.signal(number)
    running.finish()
    asked = _complete(stack)
    stack.up("--refresh", "--expect-no-changes").ok()
    if wrong := _differences(stack):
        raise MeasuringError(wrong)
    with Writer(stack.game, f"after-{moment:.1f}") as writer:
        writer.wait_for_writes()
    return asked


def _complete(stack: Stack) -> str:
    """Runs `up` until it goes through, with what the engine asks for in between."""
    asked = []
    for _ in range(_TRIES):
        result = stack.up()
        if "currently locked" in result.printed:
            asked.append("cancel")
            stack.run("cancel", "--yes")
        elif stack.state()["deployment"].get("pending_operations"):
            asked.append("refresh")
            stack.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
        elif result.exit_code == 0:
            break
    result.ok()
    return ", ".join(asked)


def _differences(stack: Stack) -> str:
    """What the state has twice, or has and the cluster has not, or the other way round."""
    resources = stack.state()["deployment"]["resources"]
    if twice := [urn for urn, count in Counter(each["urn"] for each in resources).items() if count > 1]:
        return f"the state has {', '.join(twice)} more than once"
    objects = [each for each in resources if each["type"].startswith("kubernetes:")]
    known = {(each["inputs"]["kind"], each["id"]) for each in objects if "kind" in each["inputs"]}
    labels = ",".join(f"{key}={value}" for key, value in OURS.items())
    listed = stack.get(",".join({kind for kind, _ in known}), "--all-namespaces", "--selector", labels)["items"]
    found = set()
    for each in listed:
        metadata = each["metadata"]
        ident = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
        if stack.namespace in ident and not metadata.get("ownerReferences"):
            found.add((each["kind"], ident))
    only = [f"only the cluster has {kind} {name}" for kind, name in sorted(found - known)]
    return "; ".join([*only, *(f"only the state has {kind} {name}" for kind, name in sorted(known - found))])
