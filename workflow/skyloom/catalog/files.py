"""``galaxies.parquet`` of a survey of files: one row a galaxy that is of use, and what was lost on the way.

In order: the rows of the files, tables of what is known of them besides, images (in the same rows, or joined by
position or identifier), cuts. What the galaxies' own files do not know is taken from those of their images.
"""

import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from astropy.coordinates import angular_separation
from astropy.table import Table

from skyloom.catalog import columns, cuts, file_rows
from skyloom.catalog.crossmatch import nested_pixel
from skyloom.catalog.file_rows import Rows
from skyloom.catalog.galaxies import IMAGING, nearest_images
from skyloom.catalog.labels import labels, positive
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats.file_names import file_names, sorted_paths
from skyloom.formats.image_files.images import NUMBERS as OF_IMAGES

log = logging.getLogger(__name__)

NSIDE = 64
BANDS = ("g", "r", "z")
NEEDED = ("log_mstar", "z_mw", "t_age")
COLUMNS = columns.GALAXIES | {
    "targetid": ("i8", "", "meta.id;meta.main", "The identifier if it is a number, else a number made of it"),
    "spectrum_file": ("U", "", "meta.dataset", "Name of the user's file with the spectrum"),
    "identifier": ("U", "", "meta.id", "What the user's file calls the object"),
    "published_split": ("U", "", "meta.code.class", "Split that the user's file states; empty where it states none"),
    "ivar_estimated": ("?", "", "meta.code", "The file states no noise: it was estimated from the flux"),
    "part_file": ("U", "", "meta.dataset", "Name of the part file with the spectrum on the survey's grid"),
    "part_row": ("i4", "", "meta.record", "Row in that file, from 0"),
}
"""Name -> (type, unit, UCD, description), as in `skyloom.catalog.columns`."""
_NONE = {"f8": np.nan, "i4": -1, "i8": -1, "U": ""}


def build_galaxies(
    survey: str,
    config: Mapping,
    files: Mapping[str, Sequence[str | os.PathLike]],
    galaxies_path: str | os.PathLike,
    flow_path: str | os.PathLike,
) -> None:
    """Write ``galaxies.parquet``, sorted by targetid, and the flow table: rows read, put aside by reason, kept.

    Galaxies go to shards by parts, as `skyloom.settings.sharding` deals them.

    Parameters
    ----------
    config : ``own``, the modality whose rows are the galaxies; ``modalities``, ``shards``, ``crossmatch``, ``cuts``,
        ``require_properties``; where there are tables, ``catalog``: which of their columns is what
    files : ``parts`` of spectra; ``known``, tables of what is known of the objects, which wins over what the files say;
        ``image`` and ``hsc_image``, files of images whose catalogues are read. Each may be empty.

    Raises
    ------
    BadInput : nothing is left, a file is not what it should be, or nothing can be joined.
    """
    flow, own = cuts.Flow(survey), config.get("own", "spectrum")
    shards = config.get("shards", 1)
    if own == "spectrum":
        rows = file_rows.of_parts(files["parts"], shards, flow)
    else:
        rows = file_rows.of_images(files[own], own, shards, flow)
    if files.get("known"):
        places = {name: place for name, place in config["catalog"].items() if name != "files"}
        file_rows.add_known(rows, files["known"], places)
    rows.values["ra"], rows.values["dec"] = _positions(rows.values["ra"], rows.values["dec"], flow)
    images = {}
    for modality in IMAGING:
        if modality in config.get("modalities", ()):
            images[modality] = _with_images(rows, modality, own, files.get(modality, ()), config, flow)
    values = _output(rows, images, flow)
    kept = _cut(values, config, flow)
    order = kept[np.argsort(values["targetid"][kept], kind="stable")]
    columns.write_table(galaxies_path, {name: column.take(order) for name, column in values.items()}, COLUMNS)
    with atomic(flow_path) as temporary:
        flow.frame().to_csv(temporary, index=False)
    log.info(
        "%s: %d galaxies, the noise of %d estimated", galaxies_path, len(order), rows.values["ivar_estimated"].sum()
    )


def _positions(ra: np.ndarray, dec: np.ndarray, flow: cuts.Flow) -> tuple[np.ndarray, np.ndarray]:
    """Positions on the sky, right ascension 0 to 360; NaN where there is none."""
    good = (np.abs(ra) <= 360) & (np.abs(dec) <= 90)
    lost = int((~good & (np.isfinite(ra) | np.isfinite(dec))).sum())
    if lost:
        flow.record("values", "position on the sky, degrees", int(good.sum()), lost)
    return np.where(good, ra % 360, np.nan), np.where(good, dec, np.nan)


def _with_images(rows: Rows, modality: str, own: str, paths: Sequence, config: Mapping, flow: cuts.Flow) -> list[str]:
    """Give the galaxies ``{modality}_file`` (a number), ``_row`` and ``_separation``, and drop those without an image
    if it is required; the files by number."""
    required = modality in config.get("crossmatch", {}).get("require", IMAGING)
    step, words = modality if required else f"with {modality}", IMAGING[modality].words
    values, total = rows.values, len(rows)
    if modality == own or not paths:
        found = rows.images[modality][values["file"]]
        names, file, row = rows.paths, values["file"], values["row"]
        separation = np.where(found, 0.0, np.nan)
        if modality != own:
            flow.record(step, f"{words} in the same file", int(found.sum()), int(total - found.sum()))
    else:
        names = sorted_paths(paths)
        table = file_rows.catalog_of(names, modality)
        index, separation = _joined(rows, table, words, config.get("crossmatch", {}), flow, step)
        found = index >= 0
        file, row = table["file"][index], table["row"][index]
        for name in OF_IMAGES:
            unknown = found & ~np.isfinite(values[name])
            values[name] = np.where(unknown, table[name][index], values[name])
    values[f"{modality}_file"], values[f"{modality}_row"] = np.where(found, file, -1), np.where(found, row, -1)
    values[f"{modality}_separation"] = separation
    if required:
        rows.keep(found)
    return file_names(names)


def _joined(rows: Rows, table: Mapping, words: str, config: Mapping, flow: cuts.Flow, step: str):
    """The row of `table` (N,) that is each galaxy's, -1 where there is none, and how far away it is in arcsec."""
    values, total = rows.values, len(rows)
    index, separation = np.full(total, -1), np.full(total, np.nan)
    if config.get("by", "position") == "position":
        if not np.isfinite(values["ra"]).any():
            raise BadInput(
                f"{flow.survey}: crossmatch.by: position needs positions, and no galaxy has one; name a table with ra"
                " and dec (catalog), or join by identifier"
            )
        places = Table({"TARGET_RA": values["ra"], "TARGET_DEC": values["dec"]})
        pairs = nearest_images(places, Table({axis: table[axis] for axis in ("ra", "dec")}), words, config, flow, step)
        index[pairs["left"]] = pairs["right"]
        separation[pairs["left"]] = pairs["separation_arcsec"]
        return index, separation
    theirs = pd.Series(np.arange(len(table["row"])), file_rows.as_texts(table["identifier"]))
    theirs = theirs[(theirs.index != "") & ~theirs.index.duplicated()]
    found = theirs.reindex(file_rows.as_texts(values["identifier"])).to_numpy()
    known = np.isfinite(found)
    index[known] = found[known].astype(np.int64)
    flow.record(step, f"{words} of the same identifier", int(known.sum()), int(total - known.sum()))
    at = [np.radians(v) for v in (values["ra"], values["dec"], table["ra"][index], table["dec"][index])]
    apart = np.degrees(angular_separation(*at)) * 3600
    return index, np.where(known, apart, np.nan)


def _cut(values: Mapping, config: Mapping, flow: cuts.Flow) -> np.ndarray:
    """The rows that pass the cuts, and have properties if they are required."""
    mask = np.ones(len(values["targetid"]), bool)
    if config.get("require_properties"):
        mask = np.logical_and.reduce([np.isfinite(values[name]) for name in NEEDED])
        flow.record("properties", f"{', '.join(NEEDED)} known", int(mask.sum()), int((~mask).sum()))
    left = {name: column[mask] for name, column in values.items() if isinstance(column, np.ndarray)}
    wanted = config.get("cuts") or ()
    if wanted:
        passed, _ = cuts.apply_cuts(_Columns(left), wanted, source="galaxies.parquet", flow=flow)
        mask[np.flatnonzero(mask)[~passed]] = False
    return np.flatnonzero(mask)


class _Columns(dict):
    """Columns by name, as long as their rows."""

    def __len__(self) -> int:
        return len(self["targetid"])


def _output(rows: Rows, images: Mapping[str, Sequence[str]], flow: cuts.Flow) -> dict:
    """The columns of galaxies.parquet by name."""
    found, names = rows.values, file_names(rows.paths)
    spectra = bool(rows.parts)
    values = {name: np.full(len(rows), _NONE[kind]) for name, (kind, *_) in COLUMNS.items() if kind in _NONE}
    z = cuts.plausible(found["redshift"], "z", flow)
    known = {name: cuts.plausible(found[name], name, flow) for name in ("log_mstar", "z_mw", "t_age", "avg_sfr")}
    flux = {f"flux_{band}": cuts.plausible(found[f"flux_{band}"], f"flux_{band}", flow) for band in BANDS}
    identifier = _identifiers(found, rows.paths)
    values |= {
        "targetid": file_rows.target_numbers(identifier, np.array(names, dtype=object)[found["file"]], found["row"]),
        **{"ra": found["ra"], "dec": found["dec"], "z": z, "zerr": found["zerr"]},
        **{name: found[name].astype(str) for name in ("spectype", "spectype_true")},
        "z_true": found["z_true"],
        "spectrum_file": columns.numbered(found["file"] if spectra else np.full(len(rows), -1), names),
        "spectrum_row": found["row"] if spectra else np.full(len(rows), -1),
        "healpix": nested_pixel(found["ra"], found["dec"], NSIDE),
        **labels(known["log_mstar"], known["z_mw"], known["t_age"], known["avg_sfr"]),
        **flux,
        **{f"mag_{band}": 22.5 - 2.5 * np.log10(positive(flux[f"flux_{band}"])) for band in BANDS},
        "ebv": cuts.plausible(found["ebv"], "ebv", flow),
        "shard": found["shard"],
        "identifier": pa.array(identifier).cast(pa.string()).to_numpy(zero_copy_only=False),
        "published_split": found["split"].astype(str),
        "ivar_estimated": found["ivar_estimated"],
        "part_file": columns.numbered(found["part"], file_names(rows.parts)),
        "part_row": found["part_row"],
    }
    for modality, imaging in IMAGING.items():
        given = modality in images
        number = found[f"{modality}_file"] if given else np.full(len(rows), -1)
        values[imaging.file] = columns.numbered(number, images.get(modality, ()))
        if given:
            values |= {imaging.row: found[f"{modality}_row"], imaging.separation: found[f"{modality}_separation"]}
    return values


def _identifiers(found: Mapping, paths: Sequence[str]) -> np.ndarray:
    """Identifiers (N,), whole numbers or texts; one that a file does not state is made of its name and the row."""
    identifier = found["identifier"]
    if identifier.dtype.kind in "iu" and (identifier >= 0).all():
        return identifier
    identifier, stems = file_rows.as_texts(identifier), [os.path.basename(path).partition(".")[0] for path in paths]
    made = [
        name or f"{stems[file]}:{row}"
        for name, file, row in zip(identifier, found["file"].tolist(), found["row"].tolist(), strict=True)
    ]
    return np.array(made, dtype=object)
