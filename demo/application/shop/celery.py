"""The application: `celery -A shop.celery worker` and `... beat`, with RedBeat.

From the environment: CELERY_BROKER_URL; REDBEAT_REDIS_URL, the broker's when it is missing; and
CELERY_SIGNALS_DATABASE_URL, without which nothing is recorded.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab

if os.environ.get("CELERY_SIGNALS_DATABASE_URL"):
    import celery_signals  # noqa: F401, its import connects the signals

BEAT_MAX_LOOP_SECONDS = 10

broker_url = os.environ["CELERY_BROKER_URL"]

app = Celery("shop", include=["shop.orders", "shop.mail", "shop.reports"])
app.conf.update(
    broker_url=broker_url,
    broker_connection_retry_on_startup=True,
    # Messages of lower number first, as kombu does it on Redis: receipts (0) before newsletters (9).
    broker_transport_options={"queue_order_strategy": "priority"},
    task_routes={"shop.mail.*": {"queue": "mail"}, "shop.reports.*": {"queue": "reports"}},
    task_time_limit=30,
    worker_concurrency=2,
    worker_prefetch_multiplier=1,
    beat_scheduler="redbeat.RedBeatScheduler",
    # RedBeat's lock lives five times as long.
    beat_max_loop_interval=BEAT_MAX_LOOP_SECONDS,
    redbeat_redis_url=os.environ.get("REDBEAT_REDIS_URL", broker_url),
    beat_schedule={
        "settle orders": {
            "task": "shop.orders.settle",
            "schedule": 5,
            "options": {"expires": 60},
        },
        "track parcels": {
            "task": "shop.orders.track_parcels",
            "schedule": 10,
        },
        "send receipts": {
            "task": "shop.mail.send_receipts",
            "schedule": 10,
        },
        "send newsletter": {
            "task": "shop.mail.send_newsletter",
            "schedule": 30,
        },
        "refresh sales report": {
            "task": "shop.reports.refresh_sales",
            "schedule": 30,
        },
        "expire baskets": {
            "task": "shop.orders.expire_baskets",
            "schedule": crontab(),
        },
        "close the day": {
            "task": "shop.reports.close_day",
            "schedule": crontab(hour=3, minute=30),
        },
        "send survey": {
            "task": "shop.mail.send_survey",
            "schedule": 60,
            "enabled": False,
        },
    },
)
