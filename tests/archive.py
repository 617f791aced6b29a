"""An archive on the loopback: a folder served by HTTP with ranges, which keeps a record and misbehaves on purpose."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Archive:
    """What the server has and does.

    Attributes
    ----------
    files : path of the URL -> bytes, or a file
    answers : called with the path and query before a file is looked for; its bytes are the answer
    faults : path -> what befalls its next requests, one each: a status (or with headers: (503, {"Retry-After": "7"})),
        "drop:N" (N bytes, then the connection ends), "whole" (ranges are ignored), "wrong" (other bytes), "stall"
        (N bytes, then nothing until the test ends)
    seen : (path, Range or "", status) of every request
    sent : bytes of bodies, path by path
    validators : send ETag
    """

    files: dict[str, bytes | Path] = field(default_factory=dict)
    answers: Callable[[str, str], bytes | None] = lambda path, query: None
    faults: dict[str, list] = field(default_factory=dict)
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    validators: bool = True
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)

    def content(self, path: str, query: str) -> bytes | None:
        made = self.answers(path, query)
        if made is not None or path not in self.files:
            return made
        found = self.files[path]
        return found.read_bytes() if isinstance(found, Path) else found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        archive: Archive = self.server.archive
        path, _, query = self.path.partition("?")
        asked, fault = self.headers.get("Range", ""), (archive.faults.get(path) or [None]).pop(0)
        body = archive.content(path, query)
        headers = {}
        if isinstance(fault, tuple):
            fault, headers = fault
        if isinstance(fault, int) or body is None:
            return self._answer(path, asked, fault if isinstance(fault, int) else 404, b"", headers)
        if fault == "wrong":
            body = bytes(255 - byte for byte in body)
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if archive.validators:
            headers["ETag"] = tag
        status, first = 200, 0
        same = self.headers.get("If-Range", tag) == tag
        if (found := re.fullmatch(r"bytes=(\d+)-", asked)) and fault != "whole" and same:
            first = int(found[1])
            if first >= len(body):
                return self._answer(path, asked, 416, b"", {"Content-Range": f"bytes */{len(body)}"})
            status, headers["Content-Range"] = 206, f"bytes {first}-{len(body) - 1}/{len(body)}"
        self._answer(path, asked, status, body[first:], headers, fault)

    def _answer(self, path, asked, status, body, headers, fault=None):
        archive: Archive = self.server.archive
        archive.seen.append((path, asked, status))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        kind, _, length = str(fault).partition(":")
        part = body[: int(length)] if kind in ("drop", "stall") else body
        archive.sent[path] = archive.sent.get(path, 0) + len(part)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(part)
            self.wfile.flush()
        if kind in ("drop", "stall"):
            if kind == "stall":
                archive.stalled.set()
                archive.released.wait(60)
            self.close_connection = True


@contextlib.contextmanager
def serving(archive: Archive) -> Iterator[Archive]:
    """Serve it as long as the block lasts; `archive.url` is where."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.archive = True, archive
    archive.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield archive
    finally:
        archive.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
