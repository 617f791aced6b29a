"""What the page of a survey is told by its server: files, and answers to questions."""

import dataclasses
import re
import tempfile
import threading
from pathlib import Path

import numpy as np

from skyloom.core.errors import SkyloomError
from skyloom.explore.explorer import Explorer
from skyloom.explore.page.alike import Pairing
from skyloom.explore.page.site import PAGE, STATIC, Site
from skyloom.explore.page.sources import Sources
from skyloom.explore.queries import File

MOST_K = 100
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "jpg": "image/jpeg"}


@dataclasses.dataclass
class Refused(Exception):
    """A request that cannot be answered, with the status and why."""

    status: int
    why: str


class Answers:
    """What the page of a survey is given, by path and question."""

    def __init__(self, folder: str | Path):
        self.explorer = Explorer(folder)
        self.site = Site(Sources.of_folder(folder), self.explorer)
        self._one = threading.Lock()  # files are read, and embedded, one after another
        self._reading = threading.Lock()  # open HDF5 files are not for several threads

    def file(self, path: str) -> tuple[str, bytes]:
        """A file of the page: its type and bytes."""
        name = path.removeprefix("/") or "index.html"
        kind = TYPES.get(name.rpartition(".")[2], "")
        if name in PAGE:
            return kind, (STATIC / name).read_bytes()
        folder, _, name = name.partition("/")
        if folder != "data":
            raise Refused(404, "no such file")
        try:
            with self._reading:
                return kind, self.site.content(name)
        except KeyError:
            raise Refused(404, "no such file") from None

    def neighbours(self, asked: dict[str, str]) -> dict:
        """Rows and distances of the galaxies most alike to one."""
        row, k = _whole(asked, "row", 0, len(self.site.catalog.targetid) - 1), _whole(asked, "k", 1, MOST_K)
        pairing = asked.get("pairing", "")
        if pairing not in self.site.alike.pairings:
            raise Refused(400, f"pairing: expected one of {', '.join(self.site.alike.pairings)}")
        rows, distance = self.site.alike.of(pairing, np.array([row]), k)
        return _found(rows[0], distance[0])

    def like(self, asked: dict[str, str], body: bytes) -> dict:
        """What a file is like: rows and distances for each pairing of a model that it can be asked for.

        The first spectrum, or image, of the file that can be used is asked for.
        """
        k, model = _whole(asked, "k", 1, MOST_K), asked.get("model", "")
        # its ending tells the format; nothing else of what it is called is taken over
        name = re.sub(r"[^A-Za-z0-9._-]", "_", asked.get("name", ""))[-80:].lstrip(".") or "file"
        pairings = [pairing for pairing in self.site.alike.pairings.values() if pairing.model == model]
        if not pairings:
            models = dict.fromkeys(pairing.model for pairing in self.site.alike.pairings.values())
            raise Refused(400, f"model: expected one of {', '.join(models)}")
        with self._one, tempfile.TemporaryDirectory(prefix="skyloom-") as folder:
            path = Path(folder, name)
            path.write_bytes(body)
            answers, failed = [], {}
            for pairing in pairings:
                if pairing.asked.modality in failed:
                    continue
                try:
                    answers.append(self._asked(path, pairing, k))
                except SkyloomError as error:
                    failed[pairing.asked.modality] = str(error).replace(f"{folder}/", "")
        if not answers:
            raise Refused(400, "; ".join(f"as {modality}: {why}" for modality, why in failed.items())[:1000])
        return {"name": name, "about": f"{answers[0]['query']}, by {model}", "answers": answers}

    def _asked(self, path: Path, pairing: Pairing, k: int) -> dict:
        found = self.explorer.neighbours(File(str(path)), pairing.found.name, pairing.asked.name, k)
        queries = found["query"].to_pylist()
        first = [place for place, query in enumerate(queries) if query == queries[0]]
        rows = self.site.catalog.rows(found["targetid"].to_numpy()[first])
        answer = _found(rows, found["distance"].to_numpy()[first])
        return {"pairing": pairing.name, "query": queries[0], **answer}


def _found(rows: np.ndarray, distance: np.ndarray) -> dict:
    there = rows >= 0
    return {"rows": rows[there].tolist(), "distances": [float(f"{value:.4g}") for value in distance[there]]}


def _whole(asked: dict[str, str], key: str, low: int, high: int) -> int:
    text = asked.get(key, "")
    if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise Refused(400, f"{key}: {text[:40]!r} is not a whole number from {low} to {high}")
    return int(text)
