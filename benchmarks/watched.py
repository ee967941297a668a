"""Real beats of every kind under the exporter, Prometheus and Alertmanager, for what is measured over minutes."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

PROJECT = Path(__file__).resolve().parents[1]

from servers import wait_until
from stack import RULES, Alert, Alertmanager, Exporter, Prometheus, Webhook, fetch

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

START_SECONDS = 60.0
# What the relabelling of docs/configuration.md makes of a target, but for its name.
PROBE = {"__metrics_path__": "/probe"}


class Watched:
    """An exporter with these flags, and all that it takes for its pages to arrive at a webhook.

    Collections, scrapes and rules each come every second.
    """

    def __init__(
        self,
        folder: Path,
        *flags: str,
        targets: Sequence[str] = (),
        keep_firing: str | None = None,
        on_alert: Callable[[Alert], None] = lambda alert: None,
        **environment: str,
    ) -> None:
        """`targets` are scraped besides, by their names in the exporter's file. `keep_firing` replaces
        how long alerts go on after their cause.
        """
        folder.mkdir(parents=True, exist_ok=True)
        rules = folder / "rules.yml"
        text = RULES.read_text()
        if keep_firing is not None:
            text = re.sub(r"keep_firing_for: \w+", f"keep_firing_for: {keep_firing}", text)
        rules.write_text(text)
        self.exporter = Exporter(folder, "--collect.interval=1s", *flags, environment=environment)
        self.webhook = Webhook(on_alert)
        self.alertmanager = Alertmanager(folder, webhook_url=self.webhook.url)
        self.prometheus = Prometheus(
            folder,
            exporter_port=self.exporter.port,
            alertmanager_port=self.alertmanager.port,
            rules=rules,
            targets=[{}, *({**PROBE, "__param_target": name, "target": name} for name in targets)],
        )
        self._parts = contextlib.ExitStack()

    def up(self, scheduler: str) -> float | None:
        return self.told("celery_beat_up", scheduler)

    def told(self, name: str, scheduler: str) -> float | None:
        """What the exporter says of a scheduler now."""
        return self.exporter.metrics().get((name, frozenset({("scheduler", scheduler)})))

    def is_quiet(self) -> bool:
        """Whether Prometheus knows where to send alerts and has none to send."""
        answer = json.loads(fetch(f"{self.prometheus.url}/api/v1/alertmanagers"))
        if not answer["data"]["activeAlertmanagers"]:
            return False
        return not self.prometheus.query('ALERTS{alertstate="firing"}')

    def pages(self, since: float) -> Iterator[Alert]:
        """The alerts that have fired and arrived since then."""
        for alert in list(self.webhook.alerts):
            if alert.status == "firing" and alert.arrived >= since:
                yield alert

    def __enter__(self) -> Self:
        try:
            for part in (self.webhook, self.exporter, self.alertmanager, self.prometheus):
                self._parts.callback(part.stop)
                part.start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._parts.close()

    def wait_until_well(self, *schedulers: str) -> None:
        """Until these are up and nothing fires any more."""
        well = lambda: all(self.up(one) == 1 for one in schedulers) and self.is_quiet()
        wait_until(well, START_SECONDS + 240, f"{', '.join(schedulers)} to be well")
        # An alert that has ended is told a second later.
        time.sleep(2)
