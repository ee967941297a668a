"""A small Celery application with the recorder, for test_recorder.py and test_recorder_tables.py.

BROKER_URL in the environment is the broker and the result backend.
"""

import os
import time

import celery_signals  # noqa: F401, its import connects the signals
from celery import Celery
from celery.exceptions import Ignore, Reject

app = Celery("recorded", broker=os.environ.get("BROKER_URL"), backend=os.environ.get("BROKER_URL"))
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True


class Unspeakable:
    """Has no text at all."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


class UnspeakableError(Exception):
    """Cannot be printed nor pickled."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@app.task
def add(left: int, right: int) -> int:
    return left + right


@app.task(ignore_result=True)
def forget() -> None:
    pass


@app.task
def echo(text: str, password: str = "") -> str:
    return text + password


@app.task
def fail(message: str) -> None:
    raise ValueError(message)


@app.task(bind=True, max_retries=3)
def succeed_at_third(self) -> int:
    if self.request.retries < 2:
        raise self.retry(exc=KeyError("not yet"), countdown=0)
    return self.request.retries


@app.task(bind=True)
def retry_in_an_hour(self) -> None:
    raise self.retry(exc=KeyError("not yet"), countdown=3600)


@app.task
def ignore() -> None:
    raise Ignore()


@app.task(acks_late=True)
def reject() -> None:
    raise Reject("not for us", requeue=False)


@app.task(bind=True)
def replace(self, left: int, right: int) -> None:
    raise self.replace(add.s(left, right))


@app.task(ignore_result=True)
def return_unspeakable() -> Unspeakable:
    return Unspeakable()


@app.task
def raise_unspeakable() -> None:
    raise UnspeakableError()


@app.task
def raise_unstorable(length: int) -> None:
    raise ValueError("nul \0 surrogate \ud800 " + "long " * length)


@app.task
def nap(seconds: float) -> None:
    time.sleep(seconds)
