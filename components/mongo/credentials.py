"""Passwords and keyfile: generated once, kept in the state as secrets, handed to pods in two Secrets."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Secret
from pulumi_random import RandomPassword

from components.mongo.naming import Names

ROOT_USER = "root"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What lets members, the init Job and the application in."""

    root_secret: pulumi.Output[str]
    """Name of the Secret with the root user's `username` and `password`, and the members' `keyfile`."""
    app_secret: pulumi.Output[str]
    """Name of the Secret with the application's `username` and `password`."""
    app_password: pulumi.Output[str]
    """The application's password."""


def declare_credentials(names: Names, app_user: str, opts: pulumi.ResourceOptions) -> Credentials:
    """Declares the passwords and the Secrets that hold them.

    They are alphanumeric, because they end in URLs and in a keyfile, whose alphabet is base64.
    """

    def password(role: str, length: int) -> pulumi.Output[str]:
        return RandomPassword(f"{names.name}-{role}", length=length, special=False, opts=opts).result

    root, app, keyfile = password("root", 32), password("app", 32), password("keyfile", 512)
    root_secret = Secret(
        f"{names.name}-root",
        metadata=names.metadata("-root"),
        string_data={"username": ROOT_USER, "password": root, "keyfile": keyfile},
        opts=opts,
    )
    app_secret = Secret(
        f"{names.name}-app",
        metadata=names.metadata("-app"),
        string_data={"username": app_user, "password": app},
        opts=opts,
    )
    return Credentials(root_secret.metadata.name, app_secret.metadata.name, app)
