"""What is different about versions that people still run: see requirements-older.txt."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from readers_application import OLDER_PYTHON, fail
from redbeat_samples import (
    FAIL,
    FLAGS,
    LONG_LOCK,
    SLACK,
    SUCCEED,
    Watch,
    beat,
    beat_is,
    is_alive,
)
from servers import wait_until

if TYPE_CHECKING:
    import redis
    from redbeat_samples import Applications, Exporters
    from stack import Metrics

LATE = 8.0  # seconds between runs of the entry that a restart delays


def test_restarted_redbeat_writes_scores_that_are_too_late(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """RedBeat 2.2.0 counts intervals anew from its start, and forgets what it has missed.

    So some entries truly are late. Beat is_alive, and what is not late is not called so.
    """
    now = datetime.now(timezone.utc)
    past, soon = now - timedelta(minutes=10), now + timedelta(hours=1)
    fields = {
        name: {"hour": when.hour, "minute": when.minute}
        for name, when in {"missed": past, "nightly": soon}.items()
    }
    shop = application(
        python=OLDER_PYTHON,
        broker_url=redis_url,
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={
            "often": {"task": SUCCEED, "schedule": 1},
            "delayed": {"task": FAIL, "schedule": LATE},
            "hourly": {"task": FAIL, "schedule": 3600},
            "missed": {"task": FAIL, "schedule": fields["missed"]},
            "nightly": {"task": FAIL, "schedule": fields["nightly"]},
        },
    )
    last_runs = {
        "delayed": now - timedelta(seconds=LATE - 0.5),
        "hourly": now - timedelta(minutes=50),
        "missed": past - timedelta(days=1),
        "nightly": soon - timedelta(days=1),
    }
    for name, last_run in last_runs.items():
        schedule = shop.app.conf.beat_schedule[name]["schedule"]
        shop.store(name, schedule, task=fail)
        shop.stored(name).next(last_run_at=last_run)
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    process = shop.beat()
    beat_is(watcher, 1)
    scores = dict(client.zrange("redbeat::schedule", 0, -1, withscores=True))
    assert scores[b"redbeat:hourly"] > time.time() + 3500, "no trap"
    assert scores[b"redbeat:missed"] > time.time() + 20 * 3600, "no trap"

    def entry(metrics: Metrics, family: str, name: str) -> float:
        return beat(metrics, f"entry_{family}", entry=name)

    delayed_is_due = entry(watcher.metrics(), "next_due_timestamp_seconds", "delayed")
    assert abs(delayed_is_due - now.timestamp() - 0.5) < 0.01
    with Watch(watcher) as watch:
        wait_until(
            lambda: entry(watcher.metrics(), "runs_total", "delayed") >= 2, 8, "the delayed run"
        )
    longest = 0.0
    for look in watch.looks:
        metrics = look.metrics
        observed = beat(metrics, "observed_timestamp_seconds")
        assert is_alive(metrics)
        for name in ("often", "hourly", "nightly"):
            assert entry(metrics, "overdue_seconds", name) < SLACK, name
        missed = entry(metrics, "overdue_seconds", "missed")
        assert 600 - 60 <= missed <= observed - (past.timestamp() - 60)
        late = entry(metrics, "overdue_seconds", "delayed")
        if entry(metrics, "runs_total", "delayed") == 1:
            assert late == pytest.approx(max(0, observed - delayed_is_due), abs=0.01)
            longest = max(longest, late)
        else:
            assert late < SLACK
    assert longest > 1
    assert process.stop() == 0
    assert "celery beat v5.2.7 " in process.log.read_text()  # told at its end
