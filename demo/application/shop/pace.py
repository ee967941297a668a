"""How the tasks pass their time, and which of their runs go wrong."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator

_runs: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))


def work(seconds: float) -> None:
    """Stands for what a real task would wait for: a payment provider, a mail server, a database."""
    time.sleep(seconds)


def every(count: int, what: str) -> bool:
    """True in each `count`-th call for `what` in this process of the worker."""
    return next(_runs[what]) % count == 0
