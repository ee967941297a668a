"""Mail: bursts that fill their queue for some seconds, receipts before newsletters."""

from __future__ import annotations

from celery import shared_task

from shop.pace import work

RECEIPTS = 5
NEWSLETTERS = 40
URGENT, BULK = 0, 9


@shared_task
def send_receipts() -> None:
    for order in range(RECEIPTS):
        deliver.apply_async((f"receipt {order}",), priority=URGENT)


@shared_task
def send_newsletter() -> None:
    for reader in range(NEWSLETTERS):
        deliver.apply_async((f"newsletter {reader}",), priority=BULK)


@shared_task
def send_survey() -> None:
    """Never sent: its schedule entry is switched off."""
    deliver.apply_async(("survey",), priority=BULK)


@shared_task
def deliver(letter: str) -> str:
    work(0.3)
    return letter
