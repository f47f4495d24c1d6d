"""Image references: what is read in them, what counts as pinned, and which versions fit each other."""

import pytest

from components.images import Image
from stack.images import MONGO_FLOORS, check_mongo, check_pacman

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("reference", "image", "version"),
    [
        ("mongo:8.0.32", Image("mongo", "8.0.32", ""), (8, 0, 32)),
        ("mongo:8.0.32-noble", Image("mongo", "8.0.32-noble", ""), (8, 0, 32)),
        ("saintdle/pacman:v1.2.0", Image("saintdle/pacman", "v1.2.0", ""), (1, 2, 0)),
        (
            "mirror.example:5000/a/b_c/d-e:2024.10.1",
            Image("mirror.example:5000/a/b_c/d-e", "2024.10.1", ""),
            (2024, 10, 1),
        ),
        (f"mongo@{DIGEST}", Image("mongo", "", DIGEST), ()),
        (f"mongo:latest@{DIGEST}", Image("mongo", "latest", DIGEST), ()),
        (f"localhost/pacman:0.7.9@{DIGEST}", Image("localhost/pacman", "0.7.9", DIGEST), (0, 7, 9)),
    ],
)
def test_a_pinned_reference_is_taken_apart(reference: str, image: Image, version: tuple[int, ...]) -> None:
    assert Image.parse(reference) == image
    assert image.version == version


@pytest.mark.parametrize("reference", ["mongo", "mongo:8", "mongo:v8", "mongo:stable", "mongo:8-noble", "a/b:main-1.2"])
def test_a_tag_that_moves_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match=r"not pinned; name a full version such as :1\.2\.3, or a digest"):
        Image.parse(reference)


def test_latest_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"`latest` moves; name a full version such as :1\.2\.3, or a digest"):
        Image.parse("mongo:latest")


@pytest.mark.parametrize(
    "reference",
    [
        *(
            "",
            ":8.0.32",
            "mongo:",
            "mongo:8.0.32 ",
            "Mongo:8.0.32",
            "mongo//x:8.0.32",
            "/mongo:8.0.32",
            "mongo/:8.0.32",
        ),
        *(
            "a___b:1.0.0",
            "a..b:1.0.0",
            "https://mirror.example/mongo:8.0.32",
            f"mongo:{'1.' * 64}0",
            "mongo:8.0.32@latest",
        ),
        *("mongo@sha256:0123", f"mongo@{DIGEST.upper()}", f"mongo@{DIGEST}:8.0.32"),
    ],
)
def test_an_invalid_image_reference_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match="not an image reference; expected name:version or name@sha256"):
        Image.parse(reference)


@pytest.mark.parametrize(
    "reference",
    [
        *("mongo:7.0.43", "mongo:8.0.32", "mongo:8.0.99-noble", "mirror.example/library/mongo:8.0.32"),
        *("sandbox/mongo:5.0.4", "sandbox/mongo:6.0.5", f"mongo:8.0.32@{DIGEST}"),
    ],
)
def test_a_maintained_mongodb_is_accepted(reference: str) -> None:
    check_mongo(Image.parse(reference))


@pytest.mark.parametrize(
    "reference",
    [
        *("mongo:7.0.42", "mongo:8.0.31", "mongo:8.2.7", "mongo:6.0.27", "mongo:3.6.8", "mongo:5.0.4"),
        *("mirror.example/library/mongo:8.0.3", "sandbox/mongo:6.0.4", "sandbox/mongo:8.0.32"),
    ],
)
def test_an_outdated_mongodb_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match=r"not a MongoDB that should be run; allowed: [57]\.0 from "):
        check_mongo(Image.parse(reference))


def test_every_floor_is_a_patch_of_its_line() -> None:
    assert all(patch[:2] == line for lines in MONGO_FLOORS.values() for line, patch in lines.items())


@pytest.mark.parametrize(
    "repository", ["saintdle/pacman", "mirror.example/saintdle/pacman", "sandbox/pacman", "x/yfont/pacman2"]
)
def test_a_pacman_image_with_a_current_driver_is_accepted(repository: str) -> None:
    check_pacman(Image(repository, "1.0.0", ""))


@pytest.mark.parametrize(
    ("repository", "reason"),
    [
        ("font/pacman", "cannot talk to MongoDB 5.1"),
        ("mirror.example/font/pacman", "cannot talk to MongoDB 5.1"),
        ("ifont/pacman-nodejs-app", "cannot talk to MongoDB 5.1"),
        ("shuguet/pacman", "in the database `admin`"),
    ],
)
def test_a_pacman_image_that_cannot_work_is_refused(repository: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*; use saintdle/pacman"):
        check_pacman(Image(repository, "1.0.0", ""))
