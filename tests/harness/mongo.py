"""The database of a stack, from inside its pod: what it holds, and what tests leave in it."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = "^(lesson|player|cut)-[0-9a-f]{6,9}$"
"""What the tests call those who play for them on the stack of `make up`."""


def secret(kubectl: Callable[..., str], name: str) -> dict[str, str]:
    """The values of a Secret."""
    data = json.loads(kubectl("get", "secret", name, "--output", "json"))["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def mongosh(kubectl: Callable[..., str], script: str, *, as_root: bool = False, member: str = "mongo-0") -> Any:  # noqa: ANN401 - any JSON
    """Runs a script in a pod of the database with `db`, the game's database; gives back what it prints, as JSON.

    Nothing of it is in anybody's argv: the script, with user and password, comes by stdin.
    """
    user = secret(kubectl, "mongo-root" if as_root else "mongo-app")
    source = "admin" if as_root else "pacman"
    uri = f"mongodb://{user['username']}:{user['password']}@127.0.0.1/?authSource={source}&directConnection=true"
    begin = f"const db = new Mongo({json.dumps(uri)}).getDB('pacman');\n"
    shell = ["mongosh", "--quiet", "--norc", "--nodb", "--file", "/dev/stdin"]
    return json.loads(kubectl("exec", "-i", member, "-c", "mongo", "--", *shell, stdin=begin + script))


@contextmanager
def scores_of_tests_removed(kubectl: Callable[..., str]) -> Iterator[None]:
    """Takes back, at the end, the scores that were saved meanwhile under the names of tests; all others stay."""
    before = mongosh(kubectl, "print(JSON.stringify(db.highscore.distinct('name')));")
    try:
        yield
    finally:
        ours = json.dumps({"name": {"$regex": _NAMES, "$nin": before}})
        mongosh(kubectl, f"print(JSON.stringify(db.highscore.deleteMany({ours}).deletedCount));")
