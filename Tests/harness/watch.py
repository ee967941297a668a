"""All that an exporter serves while something happens to it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

    from stack import Exporter, Metrics


class Watch:
    """Reads an exporter all the time, in a thread, while `with Watch(exporter) as watch:` lasts.

    The first sample is from before that, the last from after it.
    """

    INTERVAL_SECONDS = 0.05

    def __init__(self, exporter: Exporter) -> None:
        self.samples: list[Metrics] = []
        self.began = 0.0  # Unix time
        self._exporter = exporter
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1)

    def assert_no_counter_fell(self) -> None:
        """AssertionError if one did, also if it was away in between."""
        highest: dict[object, float] = {}
        for metrics in self.samples:
            for key, number in metrics.items():
                if key[0].endswith(("_total", "_count", "_sum", "_bucket")):
                    assert number >= highest.get(key, 0), f"{key} fell from {highest[key]}"
                    highest[key] = number
        assert highest

    def __enter__(self) -> Self:
        self.began = time.time()
        self.samples.append(self._exporter.metrics())
        self._reading = self._pool.submit(self._run)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        if kind is None:
            self._reading.result()  # raises what the thread did
            self.samples.append(self._exporter.metrics())

    def _run(self) -> None:
        while not self._ended.wait(self.INTERVAL_SECONDS):
            self.samples.append(self._exporter.metrics())
