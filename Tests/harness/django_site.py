"""A Django site and a Celery application in one module, for the tests of django-celery-beat."""

from __future__ import annotations

import json
import os

SECRET_KEY = "of a test"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django_celery_beat"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["DJANGO_PORT"],
        "NAME": os.environ["DJANGO_DATABASE"],
        "USER": os.environ["DJANGO_USER"],
        "PASSWORD": os.environ["DJANGO_PASSWORD"],
        "CONN_MAX_AGE": int(os.environ.get("DJANGO_CONNECTION_SECONDS", "0")),
    }
}

# What a test wants to be otherwise.
globals().update(json.loads(os.environ.get("DJANGO_SETTINGS", "{}")))

# Django itself reads this module for its settings alone; beat wants the application as well.
if "DJANGO_CONNECTION_SECONDS" in os.environ:
    from celery import Celery

    app = Celery("django_site", broker=os.environ["CELERY_BROKER_URL"])
    app.conf.beat_schedule = {"often": {"task": "shop.count", "schedule": 1.0}}
    app.conf.result_expires = None
    app.conf.update(json.loads(os.environ.get("CELERY_SETTINGS", "{}")))
