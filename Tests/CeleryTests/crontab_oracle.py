"""What Celery itself makes of crontabs: one case a line.

crontab_oracle.py due                 when they are next due, tab-separated:
                                      minute, hour, day_of_week, day_of_month, month_of_year, zone,
                                      last run, next due (Unix seconds, or `invalid`)
crontab_oracle.py fields [SEED CASES] which numbers a field has that RedBeat stored, as JSON:
                                      [name of the field, its value, its numbers or null]
"""

from __future__ import annotations

import json
import random
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import ParseException, crontab
from redbeat.decoder import RedBeatJSONDecoder

SEED = 20261121
CASES = 3000
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
CHANGING_ZONES = [
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Beirut",
    "America/Santiago",
    "Africa/Casablanca",
]
MINUTES = ["*", "0", "*/15", "5,35", "59", "10-20/3", "58-2", "30"]
HOURS = ["*", "0", "2", "*/6", "22-3", "1,13", "8-18"]
DAYS_OF_WEEK = ["*", "0", "mon-fri", "fri-mon", "sunday", "1,3,5", "*/2"]
DAYS_OF_MONTH = ["*", "1", "31", "*/10", "29", "13", "28-2"]
MONTHS = ["*", "2", "*/4", "jan,jun", "11-2", "oct"]
INVALID = [
    ("60", "*", "*", "*", "*"),
    ("*", "24", "*", "*", "*"),
    ("*", "*", "7", "*", "*"),
    ("*", "*", "*", "0", "*"),
    ("*", "*", "*", "*", "13"),
    ("-1", "*", "*", "*", "*"),
    ("", "*", "*", "*", "*"),
    ("1,", "*", "*", "*", "*"),
    ("*/0", "*", "*", "*", "*"),
    ("*/", "*", "*", "*", "*"),
    ("1/5", "*", "*", "*", "*"),
    ("x", "*", "*", "*", "*"),
]


def application(zone: str) -> Celery:
    app = Celery(zone, set_as_current=False)
    app.conf.timezone = zone
    return app


APPLICATIONS = {zone: application(zone) for zone in {*ZONES, *CHANGING_ZONES}}


def due(fields: tuple[str, ...], zone: str, last_run: datetime) -> str:
    try:
        schedule = crontab(*fields, app=APPLICATIONS[zone], nowfun=lambda: last_run)
    except (ParseException, ValueError):
        return "invalid"
    remaining = schedule.remaining_estimate(last_run)
    next_due = last_run.astimezone(timezone.utc) + remaining
    if next_due < last_run:
        # After a run in the second of two equal hours Celery 5.7 looks for the next in the first one,
        # and sends at each tick. Before it waited for the same time in the second one.
        next_due = next_due.astimezone(ZoneInfo(zone)).replace(fold=1)
    return str(round(next_due.timestamp()))


FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_week": (0, 6),
    "day_of_month": (1, 31),
    "month_of_year": (1, 12),
}
NAMES = [
    "mon",
    "Friday",
    "SUN",
    "sunday",
    "jan",
    "December",
    "octopus",
    "ma",
    "xyz",
    "mon_1",
    "sa\u0301",
]
# Digits that `int()` takes and such that only look like it; all white space, and what is none.
NUMBERS = [
    "1_0",
    "_1",
    "1_",
    "1__0",
    "007",
    "0_5",
    "+3",
    "-3",
    "- 3",
    "--3",
    "\u0663",
    "\uff15",
    "\u0661_\u0660",
]
NUMBERS += [
    "\u00b2",
    "\u00bd",
    "\u2167",
    "\u4e09",
    "1.0",
    "1e1",
    "0x5",
    "99999999999999999999",
    "0",
    "00",
    "",
]
BLANKS = [
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\v",
    "\f",
    "\x1c",
    "\x1f",
    "\x85",
    "\xa0",
    "\u2003",
    "\u2028",
    "\u3000",
]
BLANKS += ["\u200b", "\ufeff", "\x00", "\u180e"]
OTHERS = [
    "*",
    "/",
    "-",
    ",",
    "_",
    "x",
    "\u00e9",
    "\u0301",
    "#",
    "?",
    "L",
    ".",
    "\U0001d7d8",
    "\U0001f600",
]


def number(first: int, last: int) -> str:
    if random.random() < 0.8:
        return str(random.randint(first, last))
    return random.choice([*NUMBERS, *NAMES, str(random.randint(-2, 70))])


def part(first: int, last: int) -> str:
    form = random.choice(
        ["*", "n", "n", "n-n", "n-n", "*/n", "n-n/n", "n/n", "n-n-n", "n-n/n/n", "*/n-n"]
    )
    text = "".join(number(first, last) if letter == "n" else letter for letter in form)
    while random.random() < 0.3:
        place = random.choice([0, len(text), random.randint(0, len(text))])
        text = text[:place] + random.choice([*BLANKS, *OTHERS]) + text[place:]
    return text


def value(first: int, last: int) -> object:
    """What someone may have stored for a field: mostly a text."""
    kind = random.random()
    if kind < 0.9:
        text = ",".join(part(first, last) for _ in range(random.choice([1, 1, 2, 5])))
        return text + random.choice(["", "", "", "", ",", ", ", " "])
    if kind < 0.96:
        choices = [
            *range(first, last + 1),
            *range(first, last + 1),
            True,
            False,
            first - 1,
            last + 1,
            1.5,
            "1",
            None,
        ]
        return [random.choice(choices) for _ in range(random.randint(0, 4))]
    return random.choice(
        [random.randint(first - 1, last + 1), True, False, None, {}, {"1": 2}, 1.5, 10**30]
    )


def numbers(field: str, stored: object) -> list[int] | None:
    """As beat loads it; None where that, or the first look at it, is an error."""
    definition = json.dumps({"schedule": {"__type__": "crontab", field: stored}})
    try:
        schedule = json.loads(definition, cls=RedBeatJSONDecoder)["schedule"]
        schedule.app = APPLICATIONS["UTC"]
        schedule.remaining_estimate(datetime(2026, 1, 1, tzinfo=timezone.utc))
    except Exception:  # noqa: BLE001 - of whatever class
        return None
    found = getattr(schedule, field)
    return sorted(map(int, found)) if all(isinstance(number, int) for number in found) else None


def print_fields(seed: int = SEED, cases: int = 4000) -> None:
    random.seed(seed)
    for field, (first, last) in FIELDS.items():
        every = ", ".join(map(str, range(first, last + 1)))
        for text in [
            every,
            f" {every}\t",
            "*/5 ",
            "0, 30",
            "8, 16",
            "1-5 /2",
            "1-5/ 2",
            "*\n",
            "* ",
            "1-3x",
        ]:
            print(json.dumps([field, text, numbers(field, text)]))
    for _ in range(cases):
        field, (first, last) = random.choice(list(FIELDS.items()))
        stored = value(first, last)
        print(json.dumps([field, stored, numbers(field, stored)]))


def print_due() -> None:
    random.seed(SEED)
    start = datetime(2024, 1, 1, tzinfo=timezone.utc)
    cases = [(fields, "UTC", start) for fields in INVALID]
    # The hours around both changes of the clock in Paris.
    for hours in range(0, 72, 1):
        for first in (datetime(2026, 3, 28), datetime(2026, 10, 24)):
            moment = first.replace(tzinfo=timezone.utc) + timedelta(hours=hours, minutes=17)
            cases.append((("30", "2", "*", "*", "*"), "Europe/Paris", moment))
            cases.append((("*/20", "*", "*", "*", "*"), "Europe/Paris", moment))
    # Days of other changes: by half an hour, at midnight, in the south.
    for zone in CHANGING_ZONES:
        rules = ZoneInfo(zone)
        hours = [
            datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=hour)
            for hour in range(8760)
        ]
        offsets = [hour.astimezone(rules).utcoffset() for hour in hours]
        changes = [hour for hour, old, new in zip(hours[1:], offsets, offsets[1:]) if old != new]
        for change in changes:
            for _ in range(CASES // 20):
                fields = (
                    random.choice(MINUTES),
                    random.choice([*HOURS, "0-3", "23"]),
                    "*",
                    "*",
                    "*",
                )
                moment = change + timedelta(seconds=random.randrange(-4 * 3600, 4 * 3600))
                cases.append((fields, zone, moment))
    for _ in range(CASES):
        fields = tuple(
            random.choice(choices)
            for choices in (MINUTES, HOURS, DAYS_OF_WEEK, DAYS_OF_MONTH, MONTHS)
        )
        moment = start + timedelta(seconds=random.randrange(0, 4 * 365 * 86400))
        cases.append((fields, random.choice(ZONES), moment))
    for fields, zone, moment in cases:
        last_run = moment.astimezone(ZoneInfo(zone))
        answer = due(fields, zone, last_run)
        sys.stdout.write("\t".join([*fields, zone, str(int(moment.timestamp())), answer]) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "due":
        print_due()
    else:
        print_fields(*map(int, sys.argv[2:]))
