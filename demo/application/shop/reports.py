"""Reports: each is a chain of three tasks; in every third the second one fails."""

from __future__ import annotations

from celery import chain, shared_task

from shop.pace import every, work


class LedgerOutOfBalance(Exception):
    """The sums of the two sides differ."""


@shared_task
def refresh_sales() -> None:
    chain(collect_sales.s(), balance.s(), publish.s()).apply_async()


@shared_task
def collect_sales() -> list[int]:
    work(0.4)
    return [1, 2, 3]


@shared_task
def balance(sales: list[int]) -> int:
    work(0.2)
    if every(3, "balance"):
        raise LedgerOutOfBalance("debit and credit differ")
    return sum(sales)


@shared_task
def publish(total: int) -> int:
    work(0.1)
    return total


@shared_task
def close_day() -> None:
    work(1)
