"""A headless Chromium, driven over its DevTools protocol.

Source: https://chromedevtools.github.io/devtools-protocol/. The pipe carries JSON messages that end
with a zero byte, so that nothing beside Python's own library is needed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers import wait_until

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0  # longest wait for an answer that normally takes a moment
STOP_SECONDS = 5.0


class Refusal(RuntimeError):
    """Chromium does not do what it was told, as while a page makes way for the next one."""


class Chromium:
    """A browser without a window: `with Chromium(folder) as browser: page = browser.page(url)`."""

    def __init__(self, folder: Path) -> None:
        """FileNotFoundError when none is installed."""
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise FileNotFoundError(f"none of {', '.join(PROGRAMS)}: run demo/install test")
        self._command = [
            program,
            "--headless",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}/chromium",
            "--no-sandbox",  # it cannot be had as root, and only our own pages are opened
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
        ]
        self._log = folder / "chromium.log"
        self._number = 0
        self._unread = b""
        self._pages: dict[str, Page] = {}

    def page(self, width: int = 1280, height: int = 900) -> Page:
        """A new, empty page."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        parameters = {"targetId": target, "flatten": True}
        session = self.call("Target.attachToTarget", parameters)["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        return page

    def call(
        self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """The result of one command; Refusal when Chromium refuses, TimeoutError without one."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._read(deadline, method)
            if answer.get("id") != self._number:
                self._note(answer)
            elif "error" in answer:
                raise Refusal(f"{method}: {answer['error']['message']}")
            else:
                return answer["result"]

    def _note(self, event: dict[str, Any]) -> None:
        page = self._pages.get(event.get("sessionId", ""))
        if page is not None:
            page.note(event["method"], event["params"])

    def _read(self, deadline: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._unread:
            readable, _, _ = select.select([self._from], [], [], deadline - time.monotonic())
            if not readable:
                raise TimeoutError(f"Chromium did not answer {what}: see {self._log}")
            received = os.read(self._from, 1 << 16)
            if not received:
                raise RuntimeError(f"Chromium ended: {self._log.read_text()[-2000:]}")
            self._unread += received
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def __enter__(self) -> Self:
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "-"]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*shell, *self._command],
                pass_fds=(commands, answers),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(commands)
        os.close(answers)
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.call("Browser.close")
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)


class Page:
    """One page, and all that it asked for and complained of since it was made."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self.requests: list[str] = []  # addresses, in their order
        self.complaints: list[str] = []  # errors and warnings of the console
        self._browser = browser
        self._session = session
        self._target = target

    def close(self) -> None:
        self._browser.call("Target.closeTarget", {"targetId": self._target})

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, parameters, self._session)

    def open(self, url: str) -> None:
        """Returns when it is loaded; RuntimeError when it cannot be."""
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise RuntimeError(f"{url}: {answer['errorText']}")
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; RuntimeError when it throws."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout: float = SECONDS) -> Any:
        """The first true value of an expression in the page, or in the one that comes after it."""

        def value() -> Any:
            with contextlib.suppress(Refusal):
                return self.evaluate(expression)

        return wait_until(value, timeout, expression)

    def text(self) -> str:
        """What a reader sees."""
        return self.evaluate("document.body.innerText")

    def resize(self, width: int, height: int) -> None:
        """In CSS pixels. What is narrow is a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if width < 600 else 1,
            mobile=width < 600,
        )

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def disable_scripts(self) -> None:
        """Of the pages opened from now on."""
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def screenshot(self, path: Path) -> None:
        """The page from its top, as far as the window reaches, as PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def note(self, event: str, parameters: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif event == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "warning"}:
            self.complaints.append(str(parameters["args"]))
