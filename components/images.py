"""Parses image references, and says which are pinned: those that name one build."""

import re
from dataclasses import dataclass

# https://github.com/distribution/reference: [host[:port]/]path[:tag][@digest], path in lower case.
_REFERENCE = re.compile(
    r"(?P<repository>(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:(?:\.|_{1,2}|-+|/)[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# A tag that names one build has three numbers: 8.0.32, v1.2.3. `8`, `8.0` and `latest` move.
_FULL_VERSION = re.compile(r"v?[0-9]+(\.[0-9]+){2,}([._-][A-Za-z0-9._-]+)?")


@dataclass(frozen=True, slots=True)
class Image:
    """One image reference, taken apart."""

    repository: str
    """Everything before tag and digest, as the person wrote it."""
    tag: str
    """The tag, "" if there is none."""
    digest: str
    """`sha256:...`, "" if there is none."""

    @classmethod
    def parse(cls, reference: str) -> "Image":
        """Reads and checks a reference.

        Raises:
            ValueError: It is not a reference, or it does not name one build: neither a digest nor a full version.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise ValueError("not an image reference; expected name:version or name@sha256:<64 hex digits>")
        image = cls(match["repository"], match["tag"] or "", match["digest"] or "")
        if image.tag == "latest" and not image.digest:
            raise ValueError("`latest` moves; name a full version such as :1.2.3, or a digest")
        if not image.digest and not _FULL_VERSION.fullmatch(image.tag):
            raise ValueError("not pinned; name a full version such as :1.2.3, or a digest")
        return image

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers that the tag begins with, `()` without a tag: `8.0.32-noble` gives `(8, 0, 32)`."""
        match = re.match(r"v?([0-9]+(?:\.[0-9]+)*)", self.tag)
        return tuple(int(part) for part in match[1].split(".")) if match else ()


def is_pinned(reference: str) -> bool:
    """Whether a text is a reference that names one build."""
    try:
        Image.parse(reference)
    except ValueError:
        return False
    return True
