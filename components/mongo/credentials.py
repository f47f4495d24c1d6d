"""Passwords and keyfile: generated once, kept in the state as secrets, handed to pods in Secrets.

A rotation must not lock anybody out while it runs. So each user has two names that take turns, such as `pacman` and
`pacman-2`. A rotation gives a new password to the name that is not in use, moves everybody to it, and then deletes the
other. The keyfile holds two keys, of which a rotation replaces the older one, so old and new members still have one in
common.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Secret
from pulumi_random import RandomPassword

from components.mongo.naming import Names

ROOT_USER = "root"
BACKUP_USER = "backup"
KEYFILE_LENGTH, PASSWORD_LENGTH = 512, 32


@dataclass(frozen=True, slots=True)
class Login:
    """A user and its password."""

    username: str
    password: pulumi.Output[str]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What lets members, the init Job and clients in."""

    root_secret: pulumi.Output[str]
    """Name of the Secret with the root user's `username` and `password`, and the members' `keyfile`."""
    users_secret: pulumi.Output[str]
    """Name of the Secret from which the init Job makes users: `app-username`, `app-password`, `backup-username`,
    `backup-password`, and after a rotation `previous-username` and `previous-password` of root."""
    app: Login
    """The application's user."""
    backup: Login
    """The user that reads for backups."""


def declare_credentials(
    names: Names, *, app_user: str, rotation: int, protect: bool, opts: pulumi.ResourceOptions
) -> Credentials:
    """Declares the passwords, and the Secrets of members and init Job.

    They are alphanumeric, because they end in URLs and in a keyfile, whose alphabet is base64.
    """

    def generated(role: str, length: int) -> list[pulumi.Output[str]]:
        return _two_in_turn(f"{names.name}-{role}", length, rotation, protect=protect, opts=opts)

    root, app, backup = (generated(role, PASSWORD_LENGTH) for role in ("root", "app", "backup"))
    keys = generated("keyfile", KEYFILE_LENGTH)
    root_secret = Secret(
        f"{names.name}-root",
        metadata=names.metadata("-root"),
        string_data={"username": _user(ROOT_USER, rotation), "password": root[0], "keyfile": _keyfile(keys)},
        opts=opts,
    )
    logins = {
        "app": Login(_user(app_user, rotation), app[0]),
        "backup": Login(_user(BACKUP_USER, rotation), backup[0]),
        **({"previous": Login(_user(ROOT_USER, rotation - 1), root[1])} if rotation else {}),
    }
    users_secret = Secret(
        f"{names.name}-users",
        metadata=names.metadata("-users"),
        string_data={
            f"{role}-{key}": value
            for role, login in logins.items()
            for key, value in (("username", login.username), ("password", login.password))
        },
        opts=opts,
    )
    return Credentials(root_secret.metadata.name, users_secret.metadata.name, logins["app"], logins["backup"])


def declare_login(names: Names, role: str, login: Login, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Declares the Secret by which a client logs in, and returns its name."""
    data: Mapping[str, pulumi.Input[str]] = {"username": login.username, "password": login.password}
    suffix = f"-{role}"
    return Secret(names.name + suffix, metadata=names.metadata(suffix), string_data=data, opts=opts).metadata.name


def _user(name: str, rotation: int) -> str:
    return f"{name}-2" if rotation % 2 else name


def _two_in_turn(
    name: str, length: int, rotation: int, *, protect: bool, opts: pulumi.ResourceOptions
) -> list[pulumi.Output[str]]:
    """The password of this rotation and, if there has been one, that of the rotation before."""
    current = rotation % 2
    found: list[pulumi.Output[str]] = []
    for turn, suffix in enumerate(("", "-2")):
        changes = (rotation + turn) // 2
        if turn and not rotation:
            continue
        password = RandomPassword(
            name + suffix,
            length=length,
            special=False,
            keepers={"rotation": str(changes)} if changes else None,
            # The next rotation replaces the other one, and the engine refuses to replace what is protected.
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(protect=(protect and turn == current) or None)
            ),
        )
        found.insert(0 if turn == current else len(found), password.result)
    return found


def _keyfile(keys: list[pulumi.Output[str]]) -> pulumi.Output[str]:
    """One key as it is, two as a YAML list: a member tries the first, then the second, and accepts both."""
    if len(keys) == 1:
        return keys[0]
    return pulumi.Output.format("- {0}\n- {1}\n", *keys)
