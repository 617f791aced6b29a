"""A headless Chromium for tests, driven through a pipe by its own protocol: no package beside the browser itself."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60.0  # s: a machine that does other work besides
FLAGS = (
    *("--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb"),
)


class Browser:
    """One page. `said` holds errors of its console, of scripts and of the content policy; `asked` the addresses."""

    def __init__(self, process: subprocess.Popen, to: int, fro: int):
        self._process, self._to, self._fro = process, to, fro
        self._number, self._left = 0, b""
        self.said: list[str] = []
        self.asked: list[str] = []
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params) -> dict:
        """A command of the protocol, and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._next(end - time.monotonic())
            assert answer is not None, f"{method}: no answer within {PATIENCE} s"
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self, seconds: float) -> dict | None:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._fro], [], [], max(seconds, 0))
            if not ready:
                return None
            read = os.read(self._fro, 2**20)
            assert read, "the browser has ended"
            self._left += read
        line, _, self._left = self._left.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, params: dict) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.said.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.said.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])

    def open(self, url: str) -> None:
        """Go to an address, and wait until the page says that it is ready."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.until("document.body && document.body.dataset.ready === 'yes'")

    def run(self, script: str):
        """The value of an expression of JavaScript, under the policy of the page; a promise is waited for."""
        as_page = {"awaitPromise": True, "returnByValue": True, "allowUnsafeEvalBlockedByCSP": False}
        answer = self.call("Runtime.evaluate", expression=script, **as_page)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = PATIENCE):
        """Wait until an expression is true; its value, which an element has not."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"not true within {seconds} s: {script}; the page said {self.said}"
            time.sleep(0.05)
        return found

    def size(self, width: int, height: int, phone: bool = False, dark: bool = False) -> None:
        """Width and height of the window, CSS pixels, and its colours."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **shape)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element, CSS pixels of the window."""
        place = f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
        return tuple(self.run(f"{place} return [b.x + b.width / 2, b.y + b.height / 2]; }})()"))

    def mouse(self, kind: str, x: float, y: float, **more) -> None:
        """A mouse event: mousePressed, mouseMoved, mouseReleased, mouseWheel."""
        button = {"button": "left", "buttons": 1} if kind != "mouseWheel" else {}
        count = {"clickCount": 1} if kind in ("mousePressed", "mouseReleased") else {}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button, **count, **more)

    def click(self, x: float, y: float) -> None:
        """Press and let go."""
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def key(self, key: str, code: int = 0) -> None:
        """Press a key; `code` is its virtual key code where it writes nothing."""
        text = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": code}
        text |= {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def give_file(self, selector: str, path: Path) -> None:
        """Choose a file in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def picture(self, path: Path) -> None:
        """A PNG of the window."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """A page of a browser that ends with the block."""
    with tempfile.TemporaryDirectory() as profile:
        (theirs, to), (fro, ours) = os.pipe(), os.pipe()
        # the browser reads from file descriptor 3 and writes to 4
        command = f'exec 3<&{theirs} 4>&{ours}; exec "$@"'
        process = subprocess.Popen(
            ["bash", "-c", command, "browser", CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}"],
            pass_fds=(theirs, ours),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(ours)
        try:
            yield Browser(process, to, fro)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(to)
            os.close(fro)
