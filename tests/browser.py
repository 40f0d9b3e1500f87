"""A headless Chromium, driven by its debugging protocol over two pipes; nothing else is needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe "
    "--no-first-run --disable-background-networking --disable-component-update "
    "--disable-default-apps --disable-sync --proxy-server=127.0.0.1:9"
)


class Page:
    """A tab. What it asks of the network and writes to the console is kept."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._rest, self._n = read, write, b"", 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.send(f"{domain}.enable")
        self.send("Network.emulateNetworkConditions", offline=True, latency=0,
                  downloadThroughput=0, uploadThroughput=0)  # fmt: skip

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self._n += 1
        message: dict[str, Any] = {"id": self._n, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._n:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, file: Path, width: int = 1200, height: int = 900, mobile: bool = False) -> None:
        """Open a file and wait until it is there."""
        self.events.clear()
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=mobile)  # fmt: skip
        self.send("Page.navigate", url=file.resolve().as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._next())

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, file: Path) -> Path:
        """Write the whole page as PNG."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(data))
        return file

    def requests(self) -> list[str]:
        """Return every address that was asked for."""
        return [
            one["params"]["request"]["url"]
            for one in self.events
            if one.get("method") == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """Return what was written to the console, exceptions, and violations of the policy."""
        found = []
        for one in self.events:
            if one.get("method") in (
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
                "Audits.issueAdded",
            ):
                found.append(json.dumps(one["params"]))
        return found

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + 60
        while b"\0" not in self._rest:
            assert time.monotonic() < end, "Chromium does not answer"
            if select.select([self._read], [], [], 1)[0]:
                data = os.read(self._read, 1 << 20)
                assert data, "Chromium has gone"
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)


@contextmanager
def browser() -> Iterator[Page]:
    """Start Chromium without a network, and end it."""
    ours_read, theirs_write = os.pipe()
    theirs_read, ours_write = os.pipe()
    # Above those that the shell puts them on.
    given = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs_read, theirs_write)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = f"exec {PROGRAM} {OPTIONS} --user-data-dir={shlex.quote(profile)} "
        process = subprocess.Popen(
            ["bash", "-c", f"{command} about:blank 3<&{given[0]} 4>&{given[1]}"],
            pass_fds=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (theirs_read, theirs_write, *given):
            os.close(end)
        try:
            page = Page(ours_read, ours_write)
            yield page
            page._session = None
            page.send("Browser.close")
            process.wait(timeout=20)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(ours_read)
            os.close(ours_write)
