"""A small shop's Celery application: what the exporter watches in the demo and in the tests."""
