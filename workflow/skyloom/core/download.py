"""Files from archives: fetched by HTTP, resumed by range, verified, and never half there under their final name.

What has arrived lies beside the final name as ``NAME.part`` with the server's validator in ``NAME.part.json``, so that
a killed download goes on where it was (RFC 9110, sections 13.1.5 and 14: Range with If-Range). A server that ignores
the range, or has another version of the file by now, makes it start anew. Nothing here knows an archive.
"""

import contextlib
import email.utils
import functools
import hashlib
import http.client
import json
import logging
import os
import random
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from skyloom.core.errors import Absent, NotAvailable, SkyloomError
from skyloom.core.files import write_json
from skyloom.core.job import progress
from skyloom.core.locks import MISSING, lock_if_possible, waiting_lock

log = logging.getLogger(__name__)

BLOCK = 2**18  # bytes read at a time
LATER = {408, 425, 429, 500, 502, 503, 504}
"""Answers after which the same request may be made again."""
ADVICE = {
    401: "the archive wants a login; fetch the file by hand and put it there",
    403: "the archive refuses it; look whether its licence or address changed, or set the base URL of a mirror",
    404: "no such file there; look whether the release, or the base URL, is right",
    410: "the archive took it away; set the base URL of a mirror",
}


@dataclass(frozen=True)
class Remote:
    """A file of an archive: where it is; its size in bytes and checksum (``sha256:...``, ``md5:...``) if published."""

    url: str
    size: int | None = None
    checksum: str = ""


@dataclass(frozen=True)
class Manners:
    """How a server is treated.

    Attributes
    ----------
    timeout : seconds without a byte after which a connection is given up
    tries : attempts in a row that bring nothing
    pause, longest : seconds before the second attempt, doubled each time, and at most; half of it at random
    patience : seconds at most that a server may ask for (Retry-After)
    rate : bytes a second at most; None for no limit
    interval : seconds at least between two requests to one host, of all jobs together
    slots : folder of the files by which jobs keep that interval
    """

    timeout: float = 60.0
    tries: int = 6
    pause: float = 2.0
    longest: float = 120.0
    patience: float = 3600.0
    rate: float | None = None
    interval: float = 0.0
    slots: str = "results/.locks"


class _Again(Exception):
    """An attempt that failed and may be made again, after `wait` seconds if the server said so."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class _Anew(_Again):
    """What has arrived is of no use: begin at the first byte."""


def download(
    remote: Remote,
    path: str | os.PathLike,
    manners: Manners = Manners(),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch a file to `path`, from where an earlier attempt ended; a whole one that is there already is left.

    Raises
    ------
    Absent
        The archive has it not.
    NotAvailable
        The archive refuses it, does not answer, or sends something else than expected: one line that names
        the URL and what to do.
    SkyloomError
        It does not fit on the disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with waiting_lock(path.with_name(f"{path.name}.part.lock"), log.warning):
        if path.exists() and not _fault(remote, path, path.stat().st_size):
            log.info("%s is there", path)
            return
        part = _Part(path)
        _fetch(remote, part, manners, sleep)
        with open(part.path, "rb") as written:
            os.fsync(written.fileno())
        os.replace(part.path, path)
        part.forget()
    log.info("%s: %s, %.3f MB", path, remote.url, path.stat().st_size / 1e6)


def _wait(error: _Again, failed: int, manners: Manners, rng: random.Random) -> float:
    """Seconds until the next attempt, after `failed` that brought nothing."""
    backoff = min(manners.pause * 2 ** max(failed - 1, 0), manners.longest) * (0.5 + 0.5 * rng.random())
    return max(backoff, min(error.wait, manners.patience))


class _Part:
    """What has arrived of a file: its bytes, the length and the validator that the server gave them."""

    def __init__(self, path: Path):
        self.name = path
        self.path, self._notes = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
        self.url, self.validator, self.total = "", "", None
        if self._notes.exists() and self.path.exists():
            with contextlib.suppress(ValueError, KeyError):  # notes of a disk that was full: begin anew
                notes = json.loads(self._notes.read_text())
                self.url, self.validator, self.total = notes["url"], notes["validator"], notes["total"]

    @property
    def have(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, url: str, validator: str, total: int | None) -> None:
        """Note what is to come, with nothing of it here."""
        self.path.unlink(missing_ok=True)
        self.url, self.validator, self.total = url, validator, total
        write_json(self._notes, {"url": url, "validator": validator, "total": total})
        self.path.touch()

    def forget(self) -> None:
        """Remove what is left of it."""
        for path in (self.path, self._notes):
            path.unlink(missing_ok=True)


def _fetch(remote: Remote, part: _Part, manners: Manners, sleep: Callable[[float], None]) -> None:
    """Attempt after attempt until the part is whole and right."""
    rng, failed, wrong = random.Random(remote.url), 0, 0
    if part.url != remote.url:  # of another mirror: its validators say nothing here
        part.forget()
    while True:
        before = part.have
        try:
            if not (part.total is not None and before == part.total):
                _attempt(remote, part, manners, sleep)
            if not (fault := _fault(remote, part.path, part.have)):
                return
            wrong += 1
            part.forget()
            if wrong > 1:
                raise NotAvailable(f"{remote.url}: {fault}, twice; the file at the archive is not the one expected")
            log.warning("%s: %s; once more", remote.url, fault)
        except _Again as error:
            if isinstance(error, _Anew):
                part.forget()
            # A long file over a bad line may break a hundred times: only attempts that bring nothing count.
            failed = 0 if part.have > before else failed + 1
            if failed >= manners.tries:
                raise NotAvailable(
                    f"{remote.url}: {error} ({failed} attempts); what has arrived stays, run again later"
                ) from error
            wait = _wait(error, failed, manners, rng)
            log.warning("%s: %s; again in %.1f s from byte %d", remote.url, error, wait, part.have)
            progress(f"{part.name.name}: {error}; again in {wait:.0f} s")
            sleep(wait)


def _fault(remote: Remote, path: Path, have: int) -> str:
    """What is wrong with a whole file; empty if nothing is."""
    if remote.size is not None and have != remote.size:
        return f"{have} bytes, expected {remote.size}"
    if remote.checksum:
        kind, _, wanted = remote.checksum.partition(":")
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        if found != wanted:
            return f"{kind} {found}, expected {wanted}"
    return ""


def _attempt(remote: Remote, part: _Part, manners: Manners, sleep: Callable[[float], None]) -> None:
    """One request; what it brings is added to the part."""
    have = part.have if part.validator else 0
    headers = {"Range": f"bytes={have}-", "If-Range": part.validator} if have else {}
    with opened(remote.url, manners, sleep, headers) as answer:
        start = _start(answer, part, have)
        total = _total(answer, start)
        if start == 0:
            part.begin(remote.url, _validator(answer), total)
        _room(part, total)
        _receive(answer, part, manners, sleep)
    if total is not None and part.have != total:
        words = f"the connection ended at byte {part.have} of {total}"
        raise _Anew(words) if part.have > total else _Again(words)


def _start(answer, part: _Part, have: int) -> int:
    """The byte at which an answer begins; _Anew when it does not fit what is here."""
    if answer.status != 206:
        return 0
    range_ = answer.headers.get("Content-Range", "")
    same = _validator(answer) in ("", part.validator)  # not all servers heed If-Range
    if not range_.startswith(f"bytes {have}-") or not same or _total(answer, have) != part.total:
        raise _Anew("the file changed at the archive, or it answers with another range")
    return have


def _validator(answer) -> str:
    """What tells this version of the file from others: a strong ETag, else the date of its last change."""
    etag = answer.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _total(answer, start: int) -> int | None:
    """Bytes of the whole file, as the server says; None if it does not."""
    range_, length = answer.headers.get("Content-Range", ""), answer.headers.get("Content-Length", "")
    if answer.status == 206 and range_.rpartition("/")[2].isdigit():
        return int(range_.rpartition("/")[2])
    return start + int(length) if length.isdigit() else None


def _room(part: _Part, total: int | None) -> None:
    """Refuse what does not fit on the disk before it fills it."""
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - part.have > free:
        raise SkyloomError(
            f"{part.name}: {(total - part.have) / 1e9:.2f} GB to come, {free / 1e9:.2f} GB free on this disk"
        )


def _receive(answer, part: _Part, manners: Manners, sleep: Callable[[float], None]) -> None:
    """Write what arrives, at the rate that is allowed."""
    began, arrived = time.monotonic(), 0
    with open(part.path, "ab") as file:
        while block := _block(answer):
            file.write(block)
            file.flush()  # a killed download keeps all that came
            arrived += len(block)
            took = time.monotonic() - began
            if manners.rate and arrived / manners.rate > took:
                sleep(arrived / manners.rate - took)
                took = time.monotonic() - began
            progress(_how_far(part.name.name, file.tell(), part.total, arrived / max(took, 1e-3)))


def _block(answer) -> bytes:
    """What arrives next; _Again when the connection breaks."""
    try:
        return answer.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> _Again:
    return _Again(f"the connection broke ({error or type(error).__name__})")


def _how_far(name: str, have: int, total: int | None, rate: float) -> str:
    of = f" of {total / 1e6:.1f}" if total else ""
    left = f", {(total - have) / rate / 60:.0f} min left" if total else ""
    return f"{name}: {have / 1e6:.1f}{of} MB, {rate / 1e6:.2f} MB/s{left}"


@contextlib.contextmanager
def opened(
    url: str, manners: Manners, sleep: Callable[[float], None], headers: dict | None = None, method: str = "GET"
) -> Iterator:
    """The answer to one request, in its turn; _Again for what may pass, NotAvailable for what will not."""
    _turn(url, manners, sleep)
    given = {"Accept-Encoding": "identity", "User-Agent": "skyloom", **(headers or {})}
    try:
        with contextlib.closing(
            urllib.request.urlopen(urllib.request.Request(url, headers=given, method=method), timeout=manners.timeout)
        ) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        if error.code == 416:
            raise _Anew("the archive has no such range of the file") from error
        if error.code in LATER:
            raise _Again(f"HTTP {error.code} {error.reason}", _retry_after(error.headers)) from error
        advice = ADVICE.get(error.code, "the archive does not answer this request")
        kind = Absent if error.code == 404 else NotAvailable
        raise kind(f"{url}: HTTP {error.code} {error.reason}: {advice}") from error
    except urllib.error.URLError as error:
        raise _Again(f"no connection ({error.reason})") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _broken(error) from error


def _retry_after(headers) -> float:
    """Seconds that a server wants us to wait: a number, or a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def _turn(url: str, manners: Manners, sleep: Callable[[float], None]) -> None:
    """Wait until this host may be asked again; the time of the next turn is in a file that all jobs share."""
    if manners.interval <= 0:
        return
    slot = Path(manners.slots, f"host-{urlsplit(url).netloc.replace(':', '-')}")
    slot.parent.mkdir(parents=True, exist_ok=True)
    with open(slot, "a+") as file:
        if not lock_if_possible(file.fileno()):
            _warn_once(f"{slot}: {MISSING}; two jobs may ask {urlsplit(url).netloc} at a time")
        file.seek(0)
        text, now = file.read().strip(), time.time()
        # A date beyond the next turn is of another clock.
        turn = min(float(text), now + 100 * manners.interval) if text else now
        turn = max(turn, now)
        file.seek(0)
        file.truncate()
        file.write(repr(turn + manners.interval))
        file.flush()
    if turn > now:
        sleep(turn - now)


@functools.cache
def _warn_once(line: str) -> None:
    """A warning that every request would repeat."""
    log.warning(line)


def remote_size(url: str, manners: Manners = Manners(), sleep: Callable[[float], None] = time.sleep) -> int | None:
    """Bytes of a file at an archive, which is asked for its header only; None if it does not say. Errors of
    `download`."""
    return _asked(url, manners, sleep, "HEAD", lambda answer: _total(answer, 0))


def read_text(url: str, manners: Manners = Manners(), sleep: Callable[[float], None] = time.sleep) -> str:
    """A small text at an archive. Errors of `download`."""
    return _asked(url, manners, sleep, "GET", _text)


def _text(answer) -> str:
    try:
        return answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise _broken(error) from error


def _asked(url: str, manners: Manners, sleep: Callable[[float], None], method: str, use: Callable):
    """What `use` makes of the answer to a request, made again while it fails for what may pass."""
    rng = random.Random(url)
    for attempt in range(1, manners.tries + 1):
        try:
            with opened(url, manners, sleep, method=method) as answer:
                return use(answer)
        except _Again as error:
            if attempt == manners.tries:
                raise NotAvailable(f"{url}: {error} ({attempt} attempts); run again later") from error
            sleep(_wait(error, attempt, manners, rng))
    raise ValueError(f"tries: {manners.tries} is not allowed; expected at least 1")
