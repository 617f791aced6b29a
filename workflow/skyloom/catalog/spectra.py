"""``galaxies.parquet`` of a user's own spectra: one row a spectrum that is of use, and what was lost on the way."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from skyloom.catalog import columns, cuts
from skyloom.catalog.crossmatch import nested_pixel
from skyloom.catalog.labels import labels
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats.file_names import file_names, sorted_paths
from skyloom.formats.spectrum_files.tables import read_catalog
from skyloom.formats.spectrum_parts import UNREADABLE, read_part

log = logging.getLogger(__name__)

NSIDE = 64
COLUMNS = columns.GALAXIES | {
    "targetid": ("i8", "", "meta.id;meta.main", "The identifier if it is a number, else a number made of it"),
    "spectrum_file": ("U", "", "meta.dataset", "Name of the user's file with the spectrum"),
    "identifier": ("U", "", "meta.id", "What the user's file calls the object"),
    "ivar_estimated": ("?", "", "meta.code", "The file states no noise: it was estimated from the flux"),
    "part_file": ("U", "", "meta.dataset", "Name of the part file with the spectrum on the survey's grid"),
    "part_row": ("i4", "", "meta.record", "Row in that file, from 0"),
}
"""Name -> (type, unit, UCD, description), as in `skyloom.catalog.columns`."""
_NONE = {"f8": np.nan, "i4": -1, "i8": -1, "U": ""}


def build_galaxies(
    survey: str,
    part_paths: Sequence[str | os.PathLike],
    config: Mapping,
    known_paths: Sequence[str | os.PathLike],
    galaxies_path: str | os.PathLike,
    flow_path: str | os.PathLike,
) -> None:
    """Write ``galaxies.parquet``, sorted by targetid, and the flow table: spectra read, put aside by reason, kept.

    Galaxies of a part go to shard `number of the part % shards`.

    Parameters
    ----------
    config : ``shards`` and, where there are `known_paths`, ``catalog``: which of their columns is what
    known_paths : tables of what is known of the objects; it wins over what the files of the spectra say

    Raises
    ------
    BadInput : no spectrum is left, or the tables know none of them.
    """
    part_paths = sorted_paths(part_paths)
    found = [read_part(path) for path in part_paths]
    sizes = [len(kept["row"]) for kept, _ in found]
    kept = {name: np.concatenate([part[name] for part, _ in found]) for name in found[0][0]}
    aside = {name: np.concatenate([part[name] for _, part in found]) for name in found[0][1]}
    flow = cuts.Flow(survey)
    _count(flow, len(kept["row"]), aside)
    if known_paths:
        _add_known(kept, known_paths, {name: place for name, place in config["catalog"].items() if name != "files"})
    paths, number = np.unique(np.append(kept["file"], aside["file"]).astype(str), return_inverse=True)
    names = file_names(paths.tolist())
    number = number[: len(kept["row"])]
    z = cuts.plausible(kept["redshift"], "z", flow)
    ra, dec = _positions(kept["ra"], kept["dec"], flow)
    known = {name: cuts.plausible(kept[name], name, flow) for name in ("log_mstar", "z_mw", "t_age", "avg_sfr")}
    values = {name: np.full(len(z), _NONE[kind]) for name, (kind, *_) in COLUMNS.items() if kind in _NONE}
    values |= {
        "targetid": target_numbers(kept["identifier"], np.array(names, dtype=object)[number], kept["row"]),
        **{"ra": ra, "dec": dec, "z": z, "zerr": kept["zerr"], "spectype": kept["spectype"].astype(str)},
        **{"z_true": kept["z_true"], "spectype_true": kept["spectype_true"].astype(str)},
        "spectrum_file": columns.numbered(number, names),
        "spectrum_row": kept["row"],
        "healpix": nested_pixel(ra, dec, NSIDE),
        **labels(known["log_mstar"], known["z_mw"], known["t_age"], known["avg_sfr"]),
        "shard": np.repeat(np.arange(len(sizes)) % config.get("shards", 1), sizes),
        "identifier": kept["identifier"].astype(str),
        "ivar_estimated": kept["ivar_estimated"],
        "part_file": columns.numbered(np.repeat(np.arange(len(sizes)), sizes), file_names(part_paths)),
        "part_row": np.concatenate([np.arange(size) for size in sizes]),
    }
    order = np.argsort(values["targetid"], kind="stable")
    values = {name: column.take(order) for name, column in values.items()}
    columns.write_table(galaxies_path, values, COLUMNS)
    with atomic(flow_path) as temporary:
        flow.frame().to_csv(temporary, index=False)
    log.info("%s: %d spectra, the noise of %d estimated", galaxies_path, len(z), kept["ivar_estimated"].sum())


def _add_known(kept: dict[str, np.ndarray], paths: Sequence[str | os.PathLike], places: Mapping) -> None:
    """Put what tables know of the objects into `kept`; BadInput if they know none of them."""
    total = np.zeros(len(kept["identifier"]), bool)
    for path in paths:
        table = read_catalog(path, places)
        rows = {name: row for row, name in reversed(list(enumerate(table.pop("identifier"))))}  # the first of several
        row = np.array([rows.get(name, -1) for name in kept["identifier"]])
        total |= row >= 0
        for name, values in table.items():
            column = "spectype" if name == "class" else name
            found = values[row] if len(values) else kept[column]
            has = (row >= 0) & (found != "" if name == "class" else np.isfinite(found))
            kept[column] = np.where(has, found, kept[column])
    if not total.any():
        theirs, ours = next(iter(rows), "nothing"), kept["identifier"][0]
        raise BadInput(f"{paths[0]}: no identifier is that of a spectrum; it has {theirs}, the spectra have {ours}")
    log.info("%d of %d spectra are in the catalogue", total.sum(), len(total))


def target_numbers(identifier: np.ndarray, file: np.ndarray, row: np.ndarray) -> np.ndarray:
    """A number (N,) int64 for each spectrum; it stays the same when files are added that do not bring its identifier.

    The identifier itself where it is a whole number of 64 bits; else the first 63 bits of its SHA-256. Spectra whose
    identifier is there more than once (several observations of an object) get a number of identifier, file and row.

    Parameters
    ----------
    identifier, file : (N,) texts
    row : (N,)
    """
    count = Counter(identifier.tolist())
    found = np.empty(len(row), np.int64)
    for place, (name, path, number) in enumerate(zip(identifier, file, row.tolist(), strict=True)):
        found[place] = _number(name) if count[name] == 1 else _digest(f"{name}\n{path}\n{number}")
    repeated = len(identifier) - sum(many == 1 for many in count.values())
    if repeated:
        log.warning("%d spectra share their identifier with others: each has a targetid of its own", repeated)
    return found


def _number(name: str) -> int:
    try:
        value = int(name)
    except ValueError:
        return _digest(name)
    return value if str(value) == name and abs(value) < 2**63 else _digest(name)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _count(flow: cuts.Flow, kept: int, aside: dict[str, np.ndarray]) -> None:
    """The lines of the flow table for what was put aside; BadInput with the first reason if nothing is left."""
    left = kept + len(aside["row"])
    flow.record("spectra", "rows read", left, 0)
    reasons = Counter(reason.partition(f"{UNREADABLE}: ")[0] or UNREADABLE for reason in aside["reason"])
    first = next(iter(zip(aside["file"], aside["reason"], strict=True)), None)
    for reason, lost in sorted(reasons.items()):
        left -= lost
        flow.record("quarantine", reason, left, lost, f" ({first[0]}: {first[1]})")


def _positions(ra: np.ndarray, dec: np.ndarray, flow: cuts.Flow) -> tuple[np.ndarray, np.ndarray]:
    """Positions on the sky, right ascension 0 to 360; NaN where there is none."""
    good = (np.abs(ra) <= 360) & (np.abs(dec) <= 90)
    lost = int((~good & (np.isfinite(ra) | np.isfinite(dec))).sum())
    if lost:
        flow.record("values", "position on the sky, degrees", int(good.sum()), lost)
    return np.where(good, ra % 360, np.nan), np.where(good, dec, np.nan)
