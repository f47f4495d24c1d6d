"""When the schedule of a CronJob asks for a run."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def runs(schedule: str, zone: str, since: datetime, until: datetime) -> Iterator[datetime]:
    """The times after `since`, up to and including `until`, at which a schedule asks for a run; the earliest first.

    Args:
        schedule: Five fields of cron, or a name such as `@daily`, as a CronJob's `spec.schedule` has them.
        zone: A time zone such as `Europe/Berlin`; "" for UTC.
        since: A time with a time zone.
        until: A time with a time zone.

    Raises:
        ValueError: The schedule has another form, such as `@every 1h`.
    """
    fields = _MACROS.get(schedule, schedule).split()
    if len(fields) != 5:
        raise ValueError(f"{schedule} does not have the five fields of cron")
    minutes, hours = sorted(_values(fields[0], 0, 59)), sorted(_values(fields[1], 0, 23))
    days, months = _values(fields[2], 1, 31), _values(fields[3], 1, 12, _MONTHS)
    weekdays = _values(fields[4], 0, 6, _WEEKDAYS)
    # cron: if neither the day of the month nor the weekday is open, one of the two is enough.
    either = not any(field.startswith(("*", "?")) for field in (fields[2], fields[4]))

    place = ZoneInfo(zone) if zone else UTC
    day = since.astimezone(place).date()
    while day <= until.astimezone(place).date():
        fits = (day.day in days, day.isoweekday() % 7 in weekdays)
        if day.month in months and (any(fits) if either else all(fits)):
            for hour, minute in ((hour, minute) for hour in hours for minute in minutes):
                run = datetime(day.year, day.month, day.day, hour, minute, tzinfo=place)
                if since < run <= until:
                    yield run
        day += timedelta(days=1)


def _values(field: str, lowest: int, highest: int, names: tuple[str, ...] = ()) -> set[int]:
    """The values of one field: a list of `*`, numbers, names and ranges, each with a step if it has one."""

    def number(text: str) -> int:
        return lowest + names.index(text.lower()) if text.lower() in names else int(text)

    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if first in ("*", "?"):
            begin, end = lowest, highest
        else:
            begin = number(first)
            end = number(last) if last else highest if step else begin
        found.update(range(begin, end + 1, int(step or 1)))
    return found
