"""A live Prometheus that is asked the queries of dashboards, as Grafana asks them."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request

HTTP_TIMEOUT_SECONDS = 10
ANSWER_BYTES = 16 << 20
POINTS = 60  # of a panel's curve


class Prometheus:
    def __init__(self, url: str, *, window: float, rate_interval: str) -> None:
        """`window`: seconds that curves look back over; `rate_interval`: for $__rate_interval."""
        self._url = url.rstrip("/")
        self._window = window
        self._rate_interval = rate_interval
        # It is near, whatever proxies the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def has_data(self, query: str, *, instant: bool) -> bool | str:
        """Whether the query brings a number now, or anywhere on its curve; or what is wrong with it.

        OSError when there is no answer.
        """
        query = query.replace("$__rate_interval", self._rate_interval)
        now = time.time()
        if instant:
            path, times = "query", {"time": now}
        else:
            step = max(1.0, self._window / POINTS)
            path, times = "query_range", {"start": now - self._window, "end": now, "step": step}
        parameters = urllib.parse.urlencode({"query": query, **times})
        answer = self._get(f"/api/v1/{path}?{parameters}")
        if answer.get("status") != "success":
            return str(answer.get("error"))
        return any(
            value != "NaN"
            for series in answer["data"]["result"]
            for _, value in series.get("values", [series.get("value")])
        )

    def _get(self, path: str) -> dict:
        try:
            with self._opener.open(self._url + path, timeout=HTTP_TIMEOUT_SECONDS) as answer:
                return json.loads(answer.read(ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            # A query that it does not understand: it says why in the body.
            with error:
                return json.loads(error.read(ANSWER_BYTES))
        except http.client.HTTPException as error:
            raise OSError(f"{self._url}: {error!r}") from error
