"""What tests put into the sources: a schedule, queues and tasks, written by the real packages."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable

import celery_signals
import psycopg
import redis
from celery import Celery
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry

QUEUE = "mail"
TASK = "mail.send"
HOSTILE_NAMES = ['quote " backslash \\ brace }', "line\nbreak", "ünïcödé 🥬", "tab\tand\x01"]
LOCK_MILLISECONDS = 1_500_000  # RedBeat's default: five times beat_max_loop_interval


def fill_redis(url: str, entries: Iterable[str] = ("every minute",)) -> None:
    """A RedBeat schedule with its lock held, and two messages of different priority in QUEUE."""
    with contextlib.closing(Celery("contents", broker=url)) as application:
        application.conf.redbeat_redis_url = url
        for name in entries:
            RedBeatSchedulerEntry(name, TASK, schedule(60), app=application).save()
        # kombu remembers the queues it has declared on pooled connections, also after a flush.
        with application.connection_for_write() as connection:
            for priority in (0, 9):
                application.send_task(TASK, queue=QUEUE, priority=priority, connection=connection)
    with redis.Redis.from_url(url) as client:
        client.set("redbeat::lock", uuid.uuid1().hex, px=LOCK_MILLISECONDS)


def fill_database(url: str, names: Iterable[str] = (TASK,)) -> None:
    """The recorder's tables, with one success and one task that runs for each name."""
    with psycopg.connect(url) as connection:
        connection.execute(celery_signals.SCHEMA)
        for name in names:
            connection.execute(
                "INSERT INTO task_info (task_id, task_name, status, task_time, completed_time)"
                " VALUES (%s, %s, 'SUCCESS', now() - interval '2 seconds', now()),"
                " (%s, %s, 'STARTED', now(), NULL)",
                (uuid.uuid4().hex, name, uuid.uuid4().hex, name),
            )
