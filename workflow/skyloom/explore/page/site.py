"""The files of the page, made one by one when asked for: all of them for a folder, some of them by a server.

Their names hold numbers only, whatever models, surveys and columns are called: `manifest.js` says which is which. A
script is one call with one literal, ``skyloom.got("name", ...)``, so that a page from a disk may load it.
"""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from skyloom.analysis.common.posteriors import PosteriorFile
from skyloom.core.errors import BadInput
from skyloom.explore.page import pictures
from skyloom.explore.page.alike import Alike, pairings_of
from skyloom.explore.page.catalog import Catalog
from skyloom.explore.page.maps import maps_of
from skyloom.explore.page.sources import ANOMALY_COLUMNS, Sources
from skyloom.explore.scan import Scan
from skyloom.figures import samples
from skyloom.figures.galaxies import FLUX_LABEL, LINES

if TYPE_CHECKING:
    from skyloom.explore.explorer import Explorer

CHUNK = 32
"""Galaxies of which images, spectra and numbers come together."""
TOGETHER = 32
"""Chunks of posteriors that are read at once: row groups of their tables hold thousands of galaxies."""
NEIGHBOURS = 10
STATIC = Path(__file__).parent / "static"
PAGE = ("index.html", *sorted(path.name for path in STATIC.glob("*.*") if path.suffix in (".js", ".css", ".svg")))
"""The files that are the same for every survey."""
_NAME = re.compile(r"(manifest|targetid|anomalies|[a-z]+(?:-[0-9]{1,4})?-[0-9]{1,6})\.(?:js|jpg)")


class Site:
    """The page of a survey.

    Parameters
    ----------
    sources : its results
    explorer : what a server asks when the page does; a folder without a server has all answers in it, exact ones
    """

    def __init__(self, sources: Sources, explorer: "Explorer | None" = None):
        self.sources, self.live = sources, explorer is not None
        self.catalog = Catalog(sources)
        scan = functools.cache(Scan)
        searched = (lambda place: scan(place.path)) if explorer is None else (lambda place: explorer.index(place.name))
        self.alike = Alike(pairings_of(sources.embeddings), self.catalog, searched)
        opened = [samples.Pictures(modality, paths) for modality, paths in sources.tokens.items()]
        self._images = [p for p in opened if p.form == samples.IMAGE]
        self._spectra = [p for p in opened if p.form == samples.SPECTRUM]
        self._posteriors = [PosteriorFile(path) for path in sources.predictions if _has_posterior(path)]

    @functools.cached_property
    def maps(self):
        """See `skyloom.explore.page.maps.maps_of`."""
        return maps_of(self.sources, self.catalog)

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-len(self.catalog.targetid) // CHUNK)

    def names(self) -> Iterator[str]:
        """All files, below ``data/``."""
        yield from ("manifest.js", "targetid.js", "anomalies.js")
        yield from (f"column-{i}.js" for i in range(len(self.catalog.columns)))
        yield from (f"map-{i}.js" for i in range(len(self.maps)))
        kinds = [
            ("spectrum", "js", self._spectra),
            ("posterior", "js", self._posteriors),
            ("image", "jpg", self._images),
        ]
        for number in range(self.chunks):
            yield f"details-{number}.js"
            if not self.live:
                yield f"neighbours-{number}.js"
            yield from (f"{kind}-{i}-{number}.{end}" for kind, end, given in kinds for i in range(len(given)))

    def content(self, name: str) -> bytes:
        """The bytes of a file below ``data/``; KeyError if there is none of this name."""
        if not _NAME.fullmatch(name):
            raise KeyError(name)
        stem, end = name.rsplit(".", 1)
        kind, *numbers = stem.split("-")
        made = getattr(self, f"_{kind}_file", None)
        if made is None or (end == "jpg") != (kind == "image"):
            raise KeyError(name)
        try:
            found = made(*map(int, numbers))
        except (IndexError, TypeError):
            raise KeyError(name) from None
        return found if isinstance(found, bytes) else script(stem, found)

    def _manifest_file(self) -> dict:
        spectra = [dict(zip(("start", "step", "pixels"), pictures.grid(p), strict=True)) for p in self._spectra]
        return {
            "survey": self.sources.survey,
            "simulated": self.sources.simulated,
            "galaxies": len(self.catalog.targetid),
            "chunk": CHUNK,
            "neighbours": NEIGHBOURS,
            "live": self.live,
            "columns": [column.described() for column in self.catalog.columns],
            "maps": [place.described() for place in self.maps],
            "pairings": [pairing.described() for pairing in self.alike.pairings.values()],
            "images": [
                {"name": p.modality, "side": pictures.thumbnail_side(p), "across": pictures.ACROSS}
                for p in self._images
            ],
            "spectra": [
                {"name": p.modality, "binned": pictures.binning(p), "unit": FLUX_LABEL, **grid}
                for p, grid in zip(self._spectra, spectra, strict=True)
            ],
            "posteriors": [
                {"name": p.name, "query": p.traits.get("query", ""), "given": p.given, **_ends(p.grid)}
                for p in self._posteriors
            ],
            "lines": LINES,
        }

    def _targetid_file(self) -> str:
        return pictures.encoded(self.catalog.targetid)

    def _column_file(self, number: int) -> str:
        column = self.catalog.columns[number]
        return pictures.encoded(column.values.astype("u1" if column.classes else "f4"))

    def _map_file(self, number: int) -> str:
        return pictures.encoded(self.maps[number].packed(len(self.catalog.targetid)))

    def _image_file(self, number: int, chunk: int) -> bytes:
        return pictures.sheet(self._images[number], self.catalog.targetid[self._rows(chunk)])

    def _spectrum_file(self, number: int, chunk: int) -> dict:
        return pictures.spectra(self._spectra[number], self.catalog.targetid[self._rows(chunk)])

    def _posterior_file(self, number: int, chunk: int) -> list:
        rows = self._rows(chunk)  # IndexError before any is read
        block, place = divmod(chunk, TOGETHER)
        return self._some_posteriors(number, block)[place * CHUNK : place * CHUNK + len(rows)]

    @functools.lru_cache(2)  # noqa: B019 one site a process
    def _some_posteriors(self, number: int, block: int) -> list:
        targetid = self.catalog.targetid[block * TOGETHER * CHUNK : (block + 1) * TOGETHER * CHUNK]
        return pictures.posteriors(self._posteriors[number], targetid)

    def _details_file(self, chunk: int) -> list[dict]:
        """Each galaxy's values in the order of the manifest's columns; of an interval value, lower and upper end."""
        return [
            {"id": str(self.catalog.targetid[row]), "values": [_shown(column, row) for column in self.catalog.columns]}
            for row in self._rows(chunk)
        ]

    def _neighbours_file(self, chunk: int) -> dict:
        if self.live:
            raise IndexError(chunk)
        rows = self._rows(chunk)
        found = {name: [part[rows] for part in self._every_neighbour(name)] for name in self.alike.pairings}
        return {
            name: {"rows": index.tolist(), "distances": [[_digits(v, 4) for v in line] for line in distance.tolist()]}
            for name, (index, distance) in found.items()
        }

    @functools.cache  # noqa: B019 one site a process
    def _every_neighbour(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self.alike.of(name, np.arange(len(self.catalog.targetid)), NEIGHBOURS)

    def _anomalies_file(self) -> list[dict]:
        found = []
        for path in self.sources.anomalies:
            table = pq.read_table(path, columns=sorted(ANOMALY_COLUMNS)).to_pandas()
            table = table[table["flagged"]].sort_values("place")
            rows = self.catalog.rows(table["targetid"].to_numpy())
            for row, place, guess in zip(rows.tolist(), table["place"], table["guess"], strict=True):
                if row >= 0:
                    found.append({"row": row, "place": int(place), "cause": str(guess or "not known")})
        return found

    def _rows(self, chunk: int) -> np.ndarray:
        if not 0 <= chunk < self.chunks:
            raise IndexError(chunk)
        return np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self.catalog.targetid)))


def script(name: str, content: object) -> bytes:
    """A file that hands one literal to the page; nothing in it can end the literal or the script."""
    literal = json.dumps(content, separators=(",", ":"), allow_nan=False)  # ASCII
    literal = literal.replace("<", "\\u003c")
    return f'skyloom.got("{name}",{literal});\n'.encode()


def _shown(column, row: int):
    if column.classes:
        return column.classes[column.values[row]]
    digits = 9 if column.name in ("ra", "dec") else 6
    value = _digits(column.values[row], digits)
    if column.lower is None or column.upper is None or value is None:
        return value
    return [value, _digits(column.lower[row], digits), _digits(column.upper[row], digits)]


def _ends(grid: np.ndarray) -> dict[str, float]:
    return {"from": float(grid[0]), "to": float(grid[-1])}


def _digits(value: float, digits: int) -> float | None:
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None


def _has_posterior(path: str) -> bool:
    schema = pq.read_schema(path)
    return "posterior" in schema.names and b'"log_scale"' in (schema.metadata or {}).get(b"skyloom", b"")


def refuse_if_large(galaxies: int, most: int) -> None:
    """BadInput for more galaxies than a folder without a server can hold."""
    if galaxies > most:
        text = f"{galaxies} galaxies; a folder without a server holds {most} at most"
        raise BadInput(f"{text}: look at them with `python -m skyloom.explore` on the folder of the survey's results")
