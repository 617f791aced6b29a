"""One file of a Python package index, as it lies there: the simple repository API (PEP 503).

pip downloads wheels well, but of a source archive it wants to know the metadata, for which it runs the build of the
package. Data files need nothing run: so a source archive is fetched here, from the index that pip is set to.
"""

import ast
import logging
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from skyloom.core.errors import NotAvailable

log = logging.getLogger(__name__)

INDEX = "https://pypi.org/simple"


def download(requirement: str, folder: str | os.PathLike, timeout: float = 30) -> Path:
    """Fetch the source archive (tar.gz) of ``name==version`` into `folder`; NotAvailable if there is none."""
    name, _, version = requirement.partition("==")
    settings = pip_settings()
    trusted = ssl.create_default_context(cafile=settings.get("cert"))
    indices = [settings.get("index-url", INDEX), *settings.get("extra-index-url", "").split()]
    wanted = f"{_normal(name)}-{version}.tar.gz"
    reasons = []
    for index in indices:
        page = f"{index.rstrip('/')}/{_normal(name)}/"
        try:
            with urllib.request.urlopen(page, timeout=timeout, context=trusted) as answer:
                links = _Links(page).of(answer.read().decode())
            if wanted not in links:
                reasons.append(f"no {wanted} at {page}")
                continue
            path = Path(folder, links[wanted].rpartition("/")[2])
            with urllib.request.urlopen(links[wanted], timeout=timeout, context=trusted) as answer:
                with open(path, "wb") as file:
                    shutil.copyfileobj(answer, file, 2**20)
        except urllib.error.HTTPError as error:
            reasons.append(f"{page} answers {error.code}")
        except (OSError, ValueError) as error:
            reasons.append(f"no network: the package index does not answer ({error})")
        else:
            log.info("%s: %.1f MB from %s", path.name, path.stat().st_size / 1e6, page)
            return path
    raise NotAvailable(f"{requirement}: {reasons[0]}")


def pip_settings() -> dict[str, str]:
    """What pip is set to (files and environment): index-url, extra-index-url, cert and others."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {}
    for place in ("global", "site", "user", "download", ":env:"):  # the later wins
        for key, value in re.findall(rf"^{place}\.([a-z-]+)=(.*)$", listed, flags=re.MULTILINE):
            found[key] = str(ast.literal_eval(value))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class _Links(HTMLParser):
    """The files on a page of an index: normal name -> address."""

    def __init__(self, page: str):
        super().__init__()
        self._page, self._found = page, {}

    def handle_starttag(self, tag, attrs):
        target = dict(attrs).get("href")
        if tag == "a" and target:
            address = urldefrag(urljoin(self._page, target))[0]
            file = unquote(urlsplit(address).path).rpartition("/")[2]
            name, _, rest = file.rpartition("-")
            self._found[f"{_normal(name)}-{rest}"] = address

    def of(self, text: str) -> dict[str, str]:
        self.feed(text)
        return self._found
