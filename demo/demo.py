"""The demo behind `make demo`: the whole stack, what the exporter sees of it, and the pages."""

from __future__ import annotations

import argparse
import queue
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from servers import free_port
from stack import Alert, Stack

if TYPE_CHECKING:
    from stack import Metrics

STATUS_SECONDS = 2.0
LOOK_SECONDS = 0.25
EXPORTER_PORT = 9808
PROMETHEUS_PORT = 9090
WINDOW = "5m"
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXPLANATION = """\

Kill beat, in another terminal:  kill -9 {pid}

RedBeat's lock then stays in Redis, and the schedule looks as it did. But beat had promised to act
again within seconds: when that deadline and the grace have passed, it is DOWN in the status below,
the rules fire in Prometheus, and the page arrives here. Ctrl-C ends it all.
"""


class Screen:
    """Plain lines, and on a terminal that is wide enough a status line that the next overwrites."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._status_shown = False

    def say(self, line: str = "") -> None:
        self._write(line + "\n")
        self._status_shown = False

    def status(self, line: str) -> None:
        # A longer line would wrap, and only its last part would be overwritten.
        if self._terminal and len(line) < shutil.get_terminal_size().columns:
            self._write(line)
            self._status_shown = True
        else:
            self.say(line)

    def _write(self, text: str) -> None:
        clear = "\r\033[K" if self._status_shown else ""
        sys.stdout.write(clear + text)
        sys.stdout.flush()


def status_line(metrics: Metrics, now: float) -> str:
    """What the exporter knows at `now` (Unix time), in one line; what it does not know is `-`."""

    def total(name: str) -> float | None:
        values = [value for (other, _), value in metrics.items() if other == name]
        return sum(values) if values else None

    def shown(value: float | None) -> str:
        return "-" if value is None else str(round(value))

    up = total("celery_beat_up")
    heartbeat = total("celery_beat_scheduler_heartbeat")
    deadline = total("celery_beat_deadline_timestamp_seconds")
    queues = sorted(
        f"{dict(labels)['queue_name']} {length:.0f}"
        for (name, labels), length in metrics.items()
        if name == "celery_queue_length"
    )
    beat = "-" if up is None else "up" if up else "DOWN"
    return (
        f"{time.strftime('%H:%M:%S', time.localtime(now))}"
        f" | beat {beat}, heartbeat {shown(heartbeat and now - heartbeat)} s ago,"
        f" deadline {shown(deadline and deadline - now)} s ahead,"
        f" lock {shown(total('celery_beat_lock_ttl_seconds'))} s"
        f" | {shown(total('celery_beat_schedule_entries'))} entries,"
        f" {shown(total('celery_beat_tasks_total'))} sent"
        f" | {' '.join(queues) or 'no queues'}"
        f" | lowest {WINDOW} success {lowest_success(metrics)}"
    )


def lowest_success(metrics: Metrics) -> str:
    """The lowest success ratio of a task over WINDOW, and that task's name."""
    ratios = [
        (ratio, dict(labels)["task_name"])
        for (name, labels), ratio in metrics.items()
        if name == "celery_task_success_ratio" and ("window", WINDOW) in labels
    ]
    if not ratios:
        return "-"
    ratio, task_name = min(ratios)
    return f"{ratio:.0%} ({task_name})"


def beat_is_up(metrics: Metrics) -> bool:
    """Whether `celery_beat_up` says so; no if it is missing."""
    return any(name == "celery_beat_up" and value == 1 for (name, _), value in metrics.items())


def introduce(screen: Screen, stack: Stack) -> None:
    private = "started for the demo"
    given = "given by the environment: what the demo writes there stays"
    for what, where in {
        "status": f"{stack.exporter.url}/",
        "metrics": f"{stack.exporter.url}/metrics",
        "Prometheus": f"{stack.prometheus.url}/alerts",
        "Alertmanager": stack.alertmanager.url,
        "Redis": private if stack.redis else given,
        "PostgreSQL": private if stack.postgres else given,
    }.items():
        screen.say(f"  {what:<13} {where}")
    for line in EXPLANATION.format(pid=stack.beat.pid).splitlines():
        screen.say(line)


class Watch:
    """Follows a started stack and tells the screen what happens to it."""

    def __init__(self, stack: Stack, screen: Screen, alerts: queue.Queue[Alert]) -> None:
        self._stack = stack
        self._screen = screen
        self._alerts = alerts
        self._ended: dict[str, float] = {}  # the processes that ended, and when
        self._down_seen = False
        self._next_status = 0.0

    def run(self, seconds: float, kill_beat_after: float) -> None:
        """Returns after `seconds`; kills beat after `kill_beat_after`. Both may be infinite."""
        start = time.time()
        while (now := time.time()) < start + seconds:
            if now >= start + kill_beat_after and self._stack.beat.running:
                self._screen.say(f"killing beat: kill -9 {self._stack.beat.pid}")
                self._stack.beat.kill()
            self._notice_ends()
            self._look()
            self._wait_for_alert(LOOK_SECONDS)

    def _notice_ends(self) -> None:
        for process in self._stack.processes:
            if process.running or process.name in self._ended:
                continue
            self._ended[process.name] = time.time()
            self._screen.say(f"{process.name} has ended")
            if process is not self._stack.beat:
                self._screen.say(process.log_tail())

    def _look(self) -> None:
        try:
            metrics = self._stack.exporter.metrics()
        except OSError as error:
            metrics = None
            line = f"no answer from the exporter: {error}"
        now = time.time()
        dead_since = self._ended.get(self._stack.beat.name)
        if metrics is not None:
            line = status_line(metrics, now)
            if dead_since is not None:
                line += f" | beat dead for {now - dead_since:.0f} s"
                if not self._down_seen and not beat_is_up(metrics):
                    self._down_seen = True
                    self._screen.say(f"celery_beat_up 0, {now - dead_since:.1f} s after beat's end")
        if now >= self._next_status:
            self._next_status = now + STATUS_SECONDS
            self._screen.status(line)

    def _wait_for_alert(self, seconds: float) -> None:
        try:
            alert = self._alerts.get(timeout=seconds)
        except queue.Empty:
            return
        severity = alert.labels.get("severity", "-")
        summary = alert.annotations.get("summary", "")
        line = f"PAGE {alert.name} ({severity}, {alert.status}): {summary}"
        if (dead_since := self._ended.get(self._stack.beat.name)) is not None:
            line += f" [{alert.arrived - dead_since:.1f} s after beat's end]"
        self._screen.say(line)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="end by itself, counted from all up"
    )
    parser.add_argument(
        "--kill-beat-after",
        type=float,
        default=float("inf"),
        metavar="SECONDS",
        help="kill beat with SIGKILL, counted from all up",
    )
    return parser.parse_args()


def interrupt(*_: object) -> None:
    # Once: a second Ctrl-C must not leave half of it behind.
    ignore_interrupts()
    raise KeyboardInterrupt


def ignore_interrupts() -> None:
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def main() -> int:
    options = arguments()
    screen = Screen()
    alerts: queue.Queue[Alert] = queue.Queue()
    for number in ENDING_SIGNALS:
        signal.signal(number, interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="celery-beat-exporter-") as folder:
            stack = Stack(
                Path(folder),
                exporter_port=free_port(EXPORTER_PORT),
                prometheus_port=free_port(PROMETHEUS_PORT),
                on_alert=alerts.put,
                on_start=lambda name: screen.status(f"starting {name}"),
            )
            try:
                stack.start()
                screen.say("All runs:")
                introduce(screen, stack)
                Watch(stack, screen, alerts).run(options.seconds, options.kill_beat_after)
            finally:
                ignore_interrupts()
                stack.stop()
                screen.say("Stopped.")
    except KeyboardInterrupt:
        pass
    except (OSError, RuntimeError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
