"""Checks which MongoDB and Pacman images are allowed."""

from components.images import Image

# The first patch of each server line without a hole that is known to be used (CVE-2025-14847, CVE-2026-8053,
# CVE-2026-11933, CVE-2026-89099; state of September 2026). 8.2 ended in July 2026. Raise the floor with the pin.
MONGO_FLOORS: dict[str, dict[tuple[int, int], tuple[int, ...]]] = {
    "mongo": {(7, 0): (7, 0, 43), (8, 0): (8, 0, 32)},
    # What a package index has to offer. It runs with --noscripting and without zlib, and serves one machine only.
    # 5.0 has reached its end of life: only the sandbox may run it, so that the step from 5.0 to 6.0 can be tried.
    "sandbox/mongo": {(5, 0): (5, 0, 4), (6, 0): (6, 0, 5)},
}

# MongoDB images with another contract than the official one: other entrypoints, users, paths and variables.
_OTHER_MONGO = (
    "bitnami/mongodb",
    "bitnamilegacy/mongodb",
    "bitnamisecure/mongodb",
    "mongodb/mongodb-community-server",
    "mongodb/mongodb-enterprise-server",
    "percona/percona-server-mongodb",
)

# Pacman image -> why it cannot be used. Driver 2.2 speaks only OP_QUERY, which servers since 5.1 refuse: it logs
# "Connected successfully", answers 200 to a score that was not saved, and dies at the first list.
_UNUSABLE_PACMAN = {
    "font/pacman": "its MongoDB driver (2.2) cannot talk to MongoDB 5.1 or newer",
    "ifont/pacman-nodejs-app": "its MongoDB driver (2.2) cannot talk to MongoDB 5.1 or newer",
    "shuguet/pacman": "it looks for its user in the database `admin`, where this program does not keep it",
}


def check_mongo(image: Image) -> None:
    """Checks a MongoDB image against the lines that are maintained.

    The tag decides, also for an image of another repository, such as a mirror. If a digest pins the image and the tag
    names no patch version, the patch is not checked.

    Raises:
        ValueError: The line or the patch is not one that should be run, or the image has another contract.
    """
    for repository in _OTHER_MONGO:
        if image.repository == repository or image.repository.endswith(f"/{repository}"):
            raise ValueError(
                f"must be the official image `mongo` or a mirror of it: {repository} has another entrypoint, user and"
                " paths"
            )
    if len(image.version) < 2:
        raise ValueError(
            "must have a tag that says the version, such as mongo:8.0.32@sha256:…, which must fit the data"
        )
    floors = MONGO_FLOORS.get(image.repository, MONGO_FLOORS["mongo"])
    major, minor, *_ = (*image.version, 0)
    floor = floors.get((major, minor))
    if floor and image.digest and len(image.version) < len(floor):
        return  # the digest says which patch it is, and nobody can read that from it
    lines = ", ".join(f"{'.'.join(map(str, line))} from {'.'.join(map(str, patch))}" for line, patch in floors.items())
    if floor is None or image.version < floor:
        raise ValueError(f"not a MongoDB that should be run; allowed: {lines}")


def check_pacman(image: Image) -> None:
    """Checks that a Pacman image can work with the MongoDB versions that `check_mongo` lets through.

    Raises:
        ValueError: It is known not to.
    """
    for repository, reason in _UNUSABLE_PACMAN.items():
        if image.repository == repository or image.repository.endswith("/" + repository):
            raise ValueError(f"{reason}; use saintdle/pacman")
