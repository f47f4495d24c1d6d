"""When the schedule of a CronJob asks for a run."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from stack import cron


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
    minutes, hours, days, months, weekdays = (sorted(values) for values in cron.parse(schedule))
    # cron: if neither the day of the month nor the weekday is open, one of the two is enough.
    _, _, day_field, _, weekday_field = cron.fields(schedule)
    either = not any(field.startswith(("*", "?")) for field in (day_field, weekday_field))

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
