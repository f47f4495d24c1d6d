"""Cron schedules as Kubernetes knows them."""

from typing import Final

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Of each field: its lowest value, its highest, and the names of its values.
_FIELDS: Final[tuple[tuple[int, int, tuple[str, ...]], ...]] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, _MONTHS),
    (0, 6, _WEEKDAYS),
)


def fields(schedule: str) -> list[str]:
    """The five fields of a schedule, also of one that is a name such as `@daily`.

    Raises:
        ValueError: It has another form, such as `@every 1h`.
    """
    texts = _MACROS.get(schedule, schedule).split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"{schedule} does not have the five fields of cron")
    return texts


def parse(schedule: str) -> list[set[int]]:
    """The minutes, hours, days of the month, months and weekdays (0 is Sunday) that a schedule names.

    Raises:
        ValueError: It has another form, or a value that does not exist.
    """
    return [_values(text, *field) for text, field in zip(fields(schedule), _FIELDS, strict=True)]


def _values(field: str, lowest: int, highest: int, names: tuple[str, ...]) -> set[int]:
    """The values of one field: a list of `*`, numbers, names and ranges, each with a step if it has one."""

    def number(text: str) -> int:
        if text.lower() in names:
            return lowest + names.index(text.lower())
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"{field} is no field of cron")
        return int(text)

    found: set[int] = set()
    for part in field.split(","):
        span, has_step, step = part.partition("/")
        first, has_end, last = span.partition("-")
        if first in ("*", "?"):
            begin, end = lowest, highest
        else:
            begin = number(first)
            end = number(last) if has_end else highest if has_step else begin
        every = number(step) if has_step else 1
        if not lowest <= begin <= end <= highest or every < 1:
            raise ValueError(f"{field} is out of range")
        found.update(range(begin, end + 1, every))
    return found
