"""Orders: settled every few seconds, a payment declined now and then, parcels hard to reach."""

from __future__ import annotations

from celery import Task, shared_task

from shop.pace import every, work


class PaymentDeclined(Exception):
    """The bank refused a payment."""


class CarrierUnreachable(Exception):
    """The carrier's tracking service did not answer."""


@shared_task
def settle() -> int:
    work(0.2)
    if every(5, "settle"):
        raise PaymentDeclined("insufficient funds")
    return 1


@shared_task(bind=True, max_retries=3)
def track_parcels(self: Task) -> int:
    work(0.1)
    # A first attempt in three fails; its retry succeeds.
    if self.request.retries == 0 and every(3, "track_parcels"):
        raise self.retry(exc=CarrierUnreachable("timeout"), countdown=2)
    return 1


@shared_task
def expire_baskets() -> int:
    work(0.5)
    return 1
