"""Headless Chromium over its debugging pipe: no driver and no port."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

TIMEOUT_S = 60


def find():
    """The browser's program, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    def __init__(self, directory):
        ours_read, theirs_write = os.pipe()
        theirs_read, ours_write = os.pipe()
        # It reads commands from descriptor 3 and answers on 4, whatever ours are called here.
        high = [os.dup2(theirs_read, 63), os.dup2(theirs_write, 64)]
        command = [
            find(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            "--remote-debugging-pipe", f"--user-data-dir={directory}",
        ]
        shell = 'exec 3<&63 4>&64 63<&- 64>&-; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=high, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for fd in (theirs_read, theirs_write, *high):
            os.close(fd)
        self._read, self._write = ours_read, ours_write
        self._rest, self._next = b"", 0
        self.events = []

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._read)
        os.close(self._write)

    def send(self, method, session=None, **params):
        """One command; returns its result. Events that come before it are kept in .events."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(TIMEOUT_S)
            assert answer is not None, f"no answer to {method} in {TIMEOUT_S} s"
            if answer.get("id") == self._next:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def listen(self, seconds):
        """Keeps what happens within this time in .events."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            event = self._receive(left)
            if event is not None:
                self.events.append(event)

    def _receive(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            if not ready:
                return None
            piece = os.read(self._read, 1 << 20)
            assert piece, f"the browser ended with {self.process.wait()}"
            self._rest += piece
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


class Page:
    """A page in a tab of its own, of a width and a colour scheme."""

    def __init__(self, browser, path, width=1200, dark=False):
        self.browser = browser
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        phone = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.set_scheme(dark)
        self.url = path.as_uri()
        self.send("Page.navigate", url=self.url)
        deadline = time.monotonic() + TIMEOUT_S
        while self.value("location.href === 'about:blank' || document.readyState !== 'complete'"):
            assert time.monotonic() < deadline, "the page did not load"
            browser.listen(0.05)
        browser.listen(0.3)  # what a page starts after loading

    def send(self, method, **params):
        return self.browser.send(method, self.session, **params)

    def set_scheme(self, dark):
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[feature])

    def value(self, expression):
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def _events(self, *methods):
        return [event["params"] for event in self.browser.events
                if event.get("sessionId") == self.session and event["method"] in methods]

    def problems(self):
        """Errors and warnings of scripts, of the browser, and of the policy of the page."""
        said = self._events("Runtime.consoleAPICalled")
        return (self._events("Runtime.exceptionThrown", "Log.entryAdded") +
                [call for call in said if call["type"] in ("error", "warning", "assert")])

    def requests(self):
        """What was asked for, but the page itself."""
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")
                if event["request"]["url"] != self.url]

    def screenshot(self, path, clip=None):
        height = self.value("document.documentElement.scrollHeight")
        width = self.value("document.documentElement.clientWidth")
        clip = clip or {"x": 0, "y": 0, "width": width, "height": height}
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip={**clip, "scale": 1})
        path.write_bytes(base64.b64decode(data["data"]))

    def pdf(self, path):
        path.write_bytes(base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"]))
