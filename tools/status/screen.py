"""The lines of the screen, each with its mark and with the command that helps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from components.metadata import MEMBERS
from components.quantities import GIB, MIB
from tools.status.seen import CannotTellError, Disk, Object, Seen, primary_of

MAX_LAG_SECONDS = 30
"""A member that is further behind needs a person.

An idle primary writes every 10 s, and members hear of each other every 2 s: up to 12 s are normal.
"""
MAX_FILL_PERCENT = 80
"""A volume that is fuller needs a person."""
MIN_CERTIFICATE_DAYS = 14
"""A certificate that expires earlier needs a person. cert-manager renews one of 90 days 30 days before that."""


@dataclass(frozen=True)
class Line:
    """One line of the screen."""

    what: str
    """What it is about, such as `mongo-0`."""
    text: str
    """How that is."""
    mark: str = "✓"
    """`✓` all is well, `!` it needs a person, `?` it cannot be told."""
    helps: str = ""
    """The command that helps; shown with `!`."""


def exit_code(lines: Sequence[Line]) -> int:
    """0 if all is well, 1 if something needs a person, else 2 because something cannot be told."""
    marks = {line.mark for line in lines}
    return 1 if "!" in marks else 2 if "?" in marks else 0


def lines(seen: Seen, now: datetime) -> Iterator[Line]:
    """The lines of everything but the backups."""
    database = seen.named("StatefulSet", "mongo")
    if database is None:
        yield Line("database", "this namespace has no StatefulSet mongo: the stack is not up", "!", "pulumi up")
        return
    yield _primary(seen)
    for name in _member_names(seen, database):
        yield _member(seen, database, name)
    yield _feature_compatibility(seen)
    for name, disk in sorted(seen.disks.items()):
        yield _volume(seen, name, disk)
    yield _game(seen)
    yield _certificate(seen, now)
    yield _address(seen)


def size(count: int) -> str:
    """A number of bytes for a person."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.1f} MiB"


# --- The database ----------------------------------------------------------------------------------------------------


def _primary(seen: Seen) -> Line:
    helps = f"{seen.kubectl} get pods --selector app.kubernetes.io/name=mongo"
    if seen.replica_set is None:
        return _no_answer(seen, "primary", helps)
    if primary := primary_of(seen.replica_set):
        return Line("primary", _pod_of(primary))
    return Line("primary", "none: the members that answer are no majority, or have not elected yet", "!", helps)


def _no_answer(seen: Seen, what: str, helps: str) -> Line:
    """No member has said how the set is: either nobody may ask it, or the database is down."""
    denied = [each for each in seen.answers.values() if isinstance(each, CannotTellError)]
    return Line(what, f"{denied[0]}", "?") if denied else Line(what, "unknown: no member answers", "!", helps)


def _member_names(seen: Seen, database: Object) -> list[str]:
    """Every member that was deployed, has a pod, or is in the set."""
    deployed = {f"mongo-{ordinal}" for ordinal in range(_deployed(database))}
    in_set = {_pod_of(member) for member in (seen.replica_set or {"members": []})["members"]}
    return sorted(deployed | seen.pods.keys() | in_set)


def _member(seen: Seen, database: Object, name: str) -> Line:
    if name not in seen.pods:
        wanted = database["spec"]["replicas"]
        scaled = wanted < _deployed(database)
        helps = "pulumi up --refresh" if scaled else f"{seen.kubectl} describe statefulset mongo"
        return Line(name, f"has no pod: the StatefulSet has {wanted} replicas", "!", helps)
    if waits := _waits(seen.pods[name]):
        return Line(name, waits, "!", f"{seen.kubectl} describe pod {name}")
    logs = f"{seen.kubectl} logs {name} --container mongo"
    if seen.replica_set is None:
        answer = seen.answers[name]
        if isinstance(answer, CannotTellError):
            return Line(name, "its pod runs", "?")
        return Line(name, f"{answer['error'] if isinstance(answer, Mapping) else answer}", "!", logs)
    member = next((each for each in seen.replica_set["members"] if _pod_of(each) == name), None)
    if member is None:
        return Line(name, "is not in the replica set, which the Job of `pulumi up` adds it to", "!", "pulumi up")
    return _state(name, member, primary_of(seen.replica_set), logs)


def _state(name: str, member: Object, primary: Object | None, logs: str) -> Line:
    """The line of a member that is in the set, and whose pod runs."""
    behind = max(0, primary["optime"] - member["optime"]) // 1000 if primary and member["optime"] else None
    lag = None if behind is None else f"{behind} s behind"
    version = f"MongoDB {member['version']}" if member["version"] else None
    well = member["state"] in ("PRIMARY", "SECONDARY")
    trouble = "does not answer" if well and not version else None if well else member["message"]
    text = ", ".join(filter(None, (member["state"], lag, version, trouble)))
    late = behind is not None and behind > MAX_LAG_SECONDS
    return Line(name, text, "✓" if well and version and not late else "!", logs)


def _feature_compatibility(seen: Seen) -> Line:
    what = "compatibility"
    if seen.replica_set is None:
        return Line(what, "featureCompatibilityVersion unknown: no member has told it", "?")
    feature = seen.replica_set["featureCompatibilityVersion"]
    if "targetVersion" not in feature:
        return Line(what, f"featureCompatibilityVersion {feature['version']}")
    target = feature["targetVersion"]
    helps = f"pulumi config set mongoFeatureCompatibility '{target}' && pulumi up"
    return Line(what, f"featureCompatibilityVersion is half way to {target}", "!", helps)


def _volume(seen: Seen, name: str, disk: Disk | Exception) -> Line:
    what = f"volume {name}"
    if isinstance(disk, Exception):
        mark = "?" if isinstance(disk, CannotTellError) else "!"
        return Line(what, f"{disk}", mark, f"{seen.kubectl} describe pod {name}")
    total = disk.used + disk.available
    # Rounded up, as df does.
    percent = -(-disk.used * 100 // total)
    text = f"{percent} % full, {size(disk.used)} of {size(total)}"
    helps = f"{seen.kubectl} describe persistentvolumeclaim data-{name}"
    return Line(what, text, "!" if percent > MAX_FILL_PERCENT else "✓", helps)


def _deployed(database: Object) -> int:
    """How many members `pulumi up` last deployed, whatever somebody has scaled the StatefulSet to."""
    return int((database["metadata"].get("annotations") or {}).get(MEMBERS, 0))


def _pod_of(member: Object) -> str:
    """The pod of a member, whose host is the pod's DNS name with a port."""
    return str(member["host"]).partition(".")[0]


def _waits(pod: Object) -> str:
    """Why the server of a pod does not run; "" if it does."""
    states = [each.get("state", {}) for each in pod["status"].get("containerStatuses") or [] if each["name"] == "mongo"]
    state: Object = states[0] if states else {}
    if "running" in state:
        return ""
    reasons = [each.get("reason") for each in state.values()]
    return f"its server does not run: {next(filter(None, reasons), pod['status'].get('phase'))}"


# --- The game --------------------------------------------------------------------------------------------------------


def _game(seen: Seen) -> Line:
    game = seen.named("Deployment", "pacman")
    if game is None:
        return Line("game", "there is no Deployment pacman", "!", "pulumi up --refresh")
    desired, ready = game["spec"]["replicas"], game["status"].get("readyReplicas", 0)
    helps = f"{seen.kubectl} describe pods --selector app.kubernetes.io/name=pacman"
    # The old pods stay ready where the new ones do not come up.
    progress = [each for each in game["status"].get("conditions") or [] if each["type"] == "Progressing"]
    stuck = [f"; the last change is stuck: {each.get('reason')}" for each in progress if each["status"] == "False"]
    text = "".join((f"{ready} of {desired} pods ready", *stuck))
    return Line("game", text, "✓" if 0 < desired <= ready and not stuck else "!", helps)


def _certificate(seen: Seen, now: datetime) -> Line:
    what, expires = "certificate", seen.expires
    if expires is None:
        return Line(what, "none: plain HTTP")
    if isinstance(expires, CannotTellError):
        return Line(what, f"{expires}", "?")
    # cert-manager gives its Certificate the name of the Secret.
    ingress = seen.named("Ingress", "pacman") or {"metadata": {}}
    issued = "cert-manager.io/cluster-issuer" in (ingress["metadata"].get("annotations") or {})
    helps = f"{seen.kubectl} describe {'certificate' if issued else 'secret'} {seen.tls_secret}"
    if isinstance(expires, Exception):
        return Line(what, f"{expires}", "!", helps)
    if expires <= now:
        return Line(what, f"expired on {expires:%Y-%m-%d}", "!", helps)
    days = (expires - now) // timedelta(days=1)
    return Line(what, f"expires in {days} days", "!" if days < MIN_CERTIFICATE_DAYS else "✓", helps)


def _address(seen: Seen) -> Line:
    ingress = seen.named("Ingress", "pacman")
    if ingress is None:
        return Line("address", "there is no Ingress pacman", "!", "pulumi up --refresh")
    published = ingress["status"].get("loadBalancer", {}).get("ingress") or []
    addresses = [each.get("hostname") or each.get("ip", "") for each in published]
    if not addresses:
        return Line("address", "the Ingress has none yet", "!", f"{seen.kubectl} describe ingress pacman")
    return Line("address", ", ".join(addresses))
