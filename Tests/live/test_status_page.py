"""The page at / in a real browser: alive, dead, folded, hostile, and on its own."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from chromium import Chromium, Page
from contents import TASK, fill_database, fill_redis
from readers_application import collected
from redbeat_samples import FLAGS, LONG_LOCK, SUCCEED, beat_is
from servers import RedisServer, wait_until
from stack import Exporter

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters

PHONE = (360, 740)
REFRESH_SECONDS = 60  # longest wait for what the page does every 10 s
ALIVE = "● Beat is alive"
# What a lock that nobody extends does not prove, in a Redis that has just saved its data.
SEEMS_ALIVE = "◐ Beat seems to be alive"
HEADLINE = "document.querySelector('h1')?.textContent"
AS_OF = "document.querySelector('footer time')?.textContent"
ROWS = "document.querySelectorAll('tbody tr').length"
HOSTILE_NAMES = [
    "<script>window.hurt = 1</script>",
    '"><img src=http://192.0.2.1/x onerror="window.hurt = 2">',
    "'; window.hurt = 3; //",
    "</script></style><!--",
    "\u202etxt.exe\u0000\u001b[31m",
    "שלום עולם",
    "x" * 10_000,
]

# The lowest contrast of any text with what is behind it, and that text.
# Source: WCAG 2.1, relative luminance and contrast ratio.
CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let worst = { contrast: 21, text: "" };
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest("script, thead")) continue;
    const [high, low] = [luminance(getComputedStyle(element).color), luminance(ground(element))]
      .sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < worst.contrast) worst = { contrast, text };
  }
  return worst;
})()
"""

# What a screen reader would stumble over.
STUMBLES = """
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const stumbles = [];
  const check = (holds, what) => holds || stumbles.push(what);
  check(document.documentElement.lang, "no language");
  check(document.title, "no title");
  check(all("h1").length === 1, "not one h1");
  check(all("main").length === 1, "not one main");
  check(all("header, footer, nav").length >= 3, "no landmarks");
  for (const one of all("section")) {
    check(document.getElementById(one.getAttribute("aria-labelledby"))?.textContent, "a section without a name");
  }
  for (const one of all("th")) check(one.scope, `a heading of nothing: ${one.textContent}`);
  for (const one of all("tbody tr")) {
    check(one.children.length === one.closest("table").querySelectorAll("thead th").length, "a row of another length");
  }
  for (const one of all("a")) check(one.textContent.trim(), "a link without a text");
  for (const one of all("[aria-hidden=true]")) {
    check(one.parentElement.textContent.trim().length > one.textContent.length + 1, "a shape without a word");
  }
  const names = all("[id]").map((one) => one.id);
  check(new Set(names).size === names.length, "an id twice");
  return stumbles;
})()
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(chromium: Chromium) -> Iterator[Page]:
    """An empty page, which at the test's end must have asked nobody but its exporter."""
    page = chromium.page()
    yield page
    origins = {urllib.parse.urlsplit(url).netloc for url in page.requests if url.startswith("http")}
    assert len(origins) == 1, origins
    # Its icon is an empty one that it brings along.
    assert {urllib.parse.urlsplit(url).scheme for url in page.requests} <= {"http", "data"}
    page.close()


def check_readable(page: Page) -> None:
    """On a phone and on a desk, in the light and in the dark."""
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        worst = page.evaluate(CONTRAST)
        assert worst["contrast"] >= 4.5, (scheme, worst)
    for width, height in (PHONE, (1280, 900)):
        page.resize(width, height)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(STUMBLES) == []
    assert page.complaints == []


@pytest.fixture
def filled(redis_url: str, owner_url: str, exporter: Exporters) -> Exporter:
    """An exporter of an application that looks alive."""
    fill_redis(redis_url)
    fill_database(owner_url)
    return exporter("--collect.interval=200ms", CELERY_BROKER_URL=redis_url, DATABASE_URL=owner_url)


def test_alive(page: Page, filled: Exporter) -> None:
    page.open(filled.url)

    assert page.evaluate(HEADLINE) == "● Beat is alive"
    assert page.evaluate("document.title") == "● Beat is alive"
    text = page.text()
    for words in ("Nothing that can be seen from here.", "every minute", TASK, "100 %", "mail"):
        assert words in text
    links = page.evaluate("[...document.querySelectorAll('footer a')].map((link) => link.href)")
    assert page.evaluate(
        f"Promise.all({links}.map((link) => fetch(link).then((answer) => answer.status)))"
    ) == [200] * len(links)
    anchors = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.hash)")
    assert anchors and all(page.evaluate(f"!!document.querySelector('{one}')") for one in anchors)
    check_readable(page)


def test_it_refreshes_itself_and_leaves_the_reader_alone(page: Page, filled: Exporter) -> None:
    page.open(filled.url)
    page.resize(*PHONE)
    page.evaluate(
        "window.stays = 1; scrollTo(0, 400); document.querySelector('footer a').focus({preventScroll: true});"
        " getSelection().selectAllChildren(document.querySelector('dt'))"
    )
    was = page.evaluate("[scrollY, document.activeElement.href, getSelection().toString()]")
    assert was == [400, f"{filled.url}/metrics", "Scheduler"]
    before = page.evaluate(AS_OF)

    page.wait_for(f"{AS_OF} !== '{before}'", REFRESH_SECONDS)
    refreshed(page)
    assert page.evaluate("[scrollY, document.activeElement.href, getSelection().toString()]") == was
    assert page.evaluate("window.stays") == 1, "it was never loaded anew"
    assert page.complaints == []


def hurry(page: Page) -> None:
    """From now on it refreshes every second: each look at the clock is a minute after the last."""
    page.evaluate("(() => { let now = Date.now(); Date.now = () => (now += 60000); })()")


def refreshed(page: Page) -> None:
    """Returns after a refresh that the page did by itself, with what was known at this call."""
    before = page.evaluate(AS_OF)
    hurry(page)
    for _ in range(2):  # the first may have been put together before
        page.wait_for(f"{AS_OF} !== '{before}'", REFRESH_SECONDS)
        before = page.evaluate(AS_OF)


def test_it_rests_while_nobody_looks(page: Page, filled: Exporter) -> None:
    page.open(filled.url)
    page.evaluate(
        "window.looks = 0; window.away = true;"
        "Object.defineProperty(document, 'hidden', { get: () => (window.looks++, window.away) })"
    )
    hurry(page)
    asked = len(page.requests)
    # Each second it looks whether somebody looks.
    page.wait_for("window.looks >= 3")
    assert len(page.requests) == asked

    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: page.wait_for("true") and len(page.requests) > asked, 5, "a request at once")


def test_it_says_when_the_exporter_is_silent(page: Page, filled: Exporter) -> None:
    page.open(filled.url)
    assert page.evaluate("document.getElementById('connection').checkVisibility()") is False
    filled.pause()
    try:
        hurry(page)
        words = "document.getElementById('connection').innerText"
        page.wait_for(f"/does not answer.* Last answer \\d+ s ago/.test({words})")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert page.evaluate(
            "document.getElementById('connection').getBoundingClientRect().top >= 0"
        ), "it stays in sight"
        worst = page.evaluate(CONTRAST)
        assert worst["contrast"] >= 4.5, worst
    finally:
        filled.resume()
    hurry(page)
    page.wait_for("!document.getElementById('connection').checkVisibility()")
    assert page.evaluate(HEADLINE) == "● Beat is alive"


def test_a_beat_that_dies_before_the_readers_eyes(
    page: Page, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    beat = shop.beat()
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    page.open(watcher.url)
    beat_is(watcher, 1, 10)
    hurry(page)
    page.wait_for(f"{HEADLINE} === '● Beat is alive'", REFRESH_SECONDS)

    beat.kill()
    beat_is(watcher, 0, 20)
    refreshed(page)
    assert page.evaluate(HEADLINE) == "✕ Beat is dead"
    assert page.evaluate("document.title") == "✕ Beat is dead"
    text = page.text()
    for words in ("Last sign of life", "the next was due", "Critical", "Alert when it lasts"):
        assert words in text
    assert page.evaluate("document.querySelector('header').className") == "bad"
    check_readable(page)


def test_a_source_that_dies_before_the_readers_eyes(
    page: Page, own_redis: RedisServer, exporter: Exporters
) -> None:
    fill_redis(own_redis.url)
    watcher = exporter("--collect.interval=200ms", CELERY_BROKER_URL=own_redis.url)
    page.open(watcher.url)
    assert page.evaluate(HEADLINE) in {ALIVE, SEEMS_ALIVE}

    own_redis.kill()
    collected(watcher, "redbeat")
    refreshed(page)
    assert page.evaluate(HEADLINE) == "? Nobody can tell whether beat is alive"
    text = page.text()
    assert "cannot be read" in text
    assert f"127.0.0.1:{own_redis.port}" in text
    assert "CeleryRedisDown" in text
    check_readable(page)

    own_redis.start()
    fill_redis(own_redis.url)
    beat_is(watcher, 1, 10)
    collected(watcher, "queues")
    refreshed(page)
    assert page.evaluate(HEADLINE) in {ALIVE, SEEMS_ALIVE}
    assert "cannot be read" not in page.text()


def test_a_thousand_entries(page: Page, redis_url: str, exporter: Exporters) -> None:
    fill_redis(redis_url, [f"entry {number:04}" for number in range(1000)])
    watcher = exporter("--no-queues.discover", "--queues=mail", CELERY_BROKER_URL=redis_url)
    page.open(watcher.url)

    assert "Schedule: 1,000 entries" in page.text()
    assert "200 of 1,000 are shown." in page.text()
    rows = page.evaluate("document.querySelectorAll('[aria-labelledby^=schedule] tbody tr').length")
    assert rows == 200
    check_readable(page)

    page.evaluate("[...document.querySelectorAll('a')].find((a) => a.text === 'Show all').click()")
    page.wait_for(f"{ROWS} > 1000")
    assert "are shown" not in page.text()
    # What it fetches by itself is as long.
    refreshed(page)
    assert page.evaluate(ROWS) > 1000
    check_readable(page)


def test_hostile_names_are_inert(
    page: Page, client: redis.Redis, redis_url: str, database_url: str, exporter: Exporters
) -> None:
    fill_redis(redis_url, HOSTILE_NAMES)
    fill_database(database_url, [name.replace("\0", "") for name in HOSTILE_NAMES])
    flags = [f"--queues={name}" for name in HOSTILE_NAMES if "," not in name and "\0" not in name]
    watcher = exporter(*flags, CELERY_BROKER_URL=redis_url, DATABASE_URL=database_url)
    page.open(watcher.url)

    names = page.evaluate(
        "[...document.querySelectorAll('th bdi:first-child')].map((e) => e.textContent)"
    )
    for name in HOSTILE_NAMES[:4]:
        assert names.count(name) == 3, name  # as an entry, a queue and a task
    assert "\ufffdtxt.exe\ufffd\ufffd[31m" in names
    assert HOSTILE_NAMES[5] in names
    assert max(map(len, names)) < 500
    refreshed(page)
    assert page.evaluate("typeof window.hurt") == "undefined"
    assert page.evaluate("document.querySelectorAll('img, main script').length") == 0
    check_readable(page)


def test_without_scripts(page: Page, filled: Exporter) -> None:
    page.disable_scripts()
    page.open(filled.url)

    def loads() -> int:
        page.wait_for("true")  # takes in what has happened
        return page.requests.count(f"{filled.url}/")

    assert "Beat is alive" in page.text()
    assert loads() == 1
    wait_until(lambda: loads() >= 2, REFRESH_SECONDS, "a second load")
    assert page.complaints == []


def test_several_applications(
    page: Page, folder: Path, redis_url: str, own_redis: RedisServer, exporter: Exporters
) -> None:
    fill_redis(redis_url)
    path = folder / "exporter.yml"
    path.write_text(
        f"targets:\n  shop-eu:\n    broker.url: {redis_url}\n"
        f"  shop-us:\n    broker.url: {own_redis.url}\n    beat.scheduler: redbeat\n"
    )
    watcher = exporter(f"--config.file={path}", "--collect.interval=200ms")
    page.open(watcher.url)

    assert page.evaluate(HEADLINE) == "✕ 2 applications, 1 whose beat was not found"
    check_readable(page)
    page.evaluate("[...document.querySelectorAll('a')].find((a) => a.text === 'shop-eu').click()")
    page.wait_for(f"{HEADLINE} === '● Beat is alive'")
    assert "All applications" in page.text()
    refreshed(page)
    assert page.evaluate(HEADLINE) == "● Beat is alive", "it refreshes the application it shows"
    check_readable(page)
