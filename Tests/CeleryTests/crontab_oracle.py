"""Prints when Celery itself says that crontabs are next due: one case a line, tab-separated.

minute, hour, day_of_week, day_of_month, month_of_year, zone, last run, next due (Unix seconds, or `invalid`).
"""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import ParseException, crontab

SEED = 20261121
CASES = 3000
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
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


APPLICATIONS = {zone: application(zone) for zone in ZONES}


def due(fields: tuple[str, ...], zone: str, last_run: datetime) -> str:
    try:
        schedule = crontab(*fields, app=APPLICATIONS[zone], nowfun=lambda: last_run)
    except (ParseException, ValueError):
        return "invalid"
    remaining = schedule.remaining_estimate(last_run)
    return str(round((last_run.astimezone(timezone.utc) + remaining).timestamp()))


def main() -> None:
    random.seed(SEED)
    start = datetime(2024, 1, 1, tzinfo=timezone.utc)
    cases = [(fields, "UTC", start) for fields in INVALID]
    # The hours around both changes of the clock in Paris.
    for hours in range(0, 72, 1):
        for first in (datetime(2026, 3, 28), datetime(2026, 10, 24)):
            moment = first.replace(tzinfo=timezone.utc) + timedelta(hours=hours, minutes=17)
            cases.append((("30", "2", "*", "*", "*"), "Europe/Paris", moment))
            cases.append((("*/20", "*", "*", "*", "*"), "Europe/Paris", moment))
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
    main()
