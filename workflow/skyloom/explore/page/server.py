"""The page on the loopback, for surveys of any size: the files of `site`, and answers to what a page asks.

Nothing outside the machine reaches it: it listens on 127.0.0.1, and answers neither requests that name another host
(a page elsewhere that has its name point here) nor those that another page sends. Names of files hold numbers and are
compared with a pattern, never with a path. What is refused is said in JSON, ``{"error": "..."}``. Other programs of
this machine find a Simple Cone Search under ``/cone?RA=..&DEC=..&SR=..`` (`skyloom.explore.cone`).
"""

import json
import logging
import re
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from skyloom.core.errors import SkyloomError
from skyloom.explore import cone
from skyloom.explore.page.replies import Answers, Refused

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PORT = 8765
MOST_BYTES = 64 * 2**20
"""Of a file that is sent."""
LONGEST = 4096
"""Characters of an address."""
SECONDS = 60
"""That a client may be silent in the middle of a request."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Handler(BaseHTTPRequestHandler):
    """A request to `Server.answers`."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Skyloom", ""
    timeout = SECONDS

    def do_GET(self) -> None:
        """Files of the page, and questions that need no body."""
        self._answer(lambda path, asked: self._get(path, asked))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """A file whose like is wanted."""
        self._answer(self._post)

    def _get(self, path: str, asked: dict[str, str]) -> tuple[str, bytes]:
        if path == "/api/neighbours":
            return _json(self.server.answers.neighbours(asked))
        if path == "/cone":
            _, kind, content = cone.respond(
                self.server.answers.explorer.catalog, urllib.parse.urlsplit(self.path).query
            )
            return kind, content
        if path.startswith("/api/"):
            raise Refused(404, "no such question; there is api/neighbours, and POST api/like")
        return self.server.answers.file(path)

    def _post(self, path: str, asked: dict[str, str]) -> tuple[str, bytes]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,12}", length):
            raise Refused(411, "the length of the file is missing")
        if int(length) > MOST_BYTES:
            raise Refused(413, f"a file of {int(length)} bytes; at most {MOST_BYTES}")
        if path != "/api/like":
            raise Refused(404, "no such question; there is POST api/like")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refused(400, "the file ended early")
        self._read = True
        return _json(self.server.answers.like(asked, body))

    def _answer(self, made) -> None:
        start, self._read = time.monotonic(), self.command != "POST"
        try:
            self._check()
            parts = urllib.parse.urlsplit(self.path)
            asked = dict(urllib.parse.parse_qsl(parts.query, max_num_fields=10, errors="replace"))
            status, (kind, content) = 200, made(parts.path, asked)
        except Refused as refused:
            status, (kind, content) = refused.status, _json({"error": refused.why})
        except (SkyloomError, ValueError) as error:
            status, (kind, content) = 400, _json({"error": str(error).splitlines()[0][:1000]})
        except ConnectionError:
            self.close_connection = True
            return
        except Exception as error:  # the server stays up whatever happens in an answer
            log.exception("%s %s", self.command, self.path[:200])
            status, (kind, content) = 500, _json({"error": f"{type(error).__name__}; see the server's terminal"})
        self.close_connection = self.close_connection or not self._read  # what was not read is not the next request
        self._send(status, kind, content)
        log.debug("%s %s %d %.0f ms", self.command, self.path[:200], status, 1e3 * (time.monotonic() - start))

    def _check(self) -> None:
        if len(self.path) > LONGEST:
            raise Refused(414, f"an address of {len(self.path)} characters; at most {LONGEST}")
        own = [f"{name}:{self.server.server_port}" for name in (HOST, "localhost")]
        if self.headers.get("Host") not in own:
            raise Refused(403, "this page answers its own machine alone")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{name}" for name in own]:
            raise Refused(403, "another page asks; only this one may")

    def _send(self, status: int, kind: str, content: bytes) -> None:
        try:
            self.send_response(status)
            kind += "; charset=utf-8" if kind.startswith("text/") else ""
            for key, value in {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}.items():
                self.send_header(key, value)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True

    def send_error(self, code, message=None, explain=None) -> None:
        """What the standard library refuses (a broken request line, headers too long), in JSON too."""
        self.close_connection = True
        self.command = self.command or "GET"
        self._send(int(code), *_json({"error": message or "a broken request"}))

    def log_message(self, format, *args) -> None:
        """Nothing on the terminal for what went well."""


def _json(content: dict) -> tuple[str, bytes]:
    return "application/json", json.dumps(content, allow_nan=False).encode()


class Server(ThreadingHTTPServer):
    """The page of the survey in a folder of results, on a port of the loopback (0: any free one)."""

    daemon_threads = True

    def __init__(self, folder: str | Path, port: int = PORT):
        self.answers = Answers(folder)
        super().__init__((HOST, port), Handler)

    def handle_error(self, request, client_address) -> None:
        """A client that went away is none of ours; anything else is said on the terminal."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            log.exception("a request")

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.server_port}/index.html"
