"""One row a galaxy: from redshift catalogue, coadds, imaging catalogues and properties to ``galaxies.parquet``.

In order: the rows of the redshift catalogue (or, where a survey has none, of the spectra themselves), quality cuts, the
spectrum in its coadd file, the images within the cross-match radius, physical properties. A galaxy without a kind of
image that the survey has among its modalities is dropped, unless ``crossmatch.require`` names the kinds that are needed
and leaves that one out. The flow table says what each step lost. Only catalogues are held in memory, and of them only
the columns needed.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from astropy.coordinates import angular_separation
from astropy.table import Table, vstack

from skyloom.catalog import columns, cuts, sources, splits
from skyloom.catalog.crossmatch import crossmatch, nested_pixel
from skyloom.catalog.labels import NAMES as LABELS
from skyloom.catalog.labels import labels, positive
from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import atomic, write_json
from skyloom.formats import legacy, provabgs, ranges, wanted_galaxies
from skyloom.formats.file_names import file_names, sorted_paths
from skyloom.settings import kinds

log = logging.getLogger(__name__)

NSIDE = 64
BY_LSDB = "skyloom.catalog.by_lsdb"
"""Loaded by its name: its packages come with an extra."""
BANDS = ("g", "r", "z")
PLAUSIBLE_PROPERTIES = {
    **{"log_mstar": "LOG_MSTAR", "z_mw": "Z_MW", "t_age": "TAGE_MW", "avg_sfr": "AVG_SFR"},
    **{f"mag_{band}": f"MAG_{band.upper()}" for band in BANDS},
}
"""Quantity of `skyloom.formats.ranges` -> column of a property table."""


@dataclass(frozen=True)
class Imaging:
    """A kind of image: the role of its raw files, what reads their catalogue, how its columns and losses are called."""

    role: str
    read: Callable[[Sequence[str]], Table]
    file: str
    row: str
    separation: str
    words: str


IMAGING = {
    "image": Imaging("images", sources.read_images, "image_file", "image_row", "separation_arcsec", "image"),
    "hsc_image": Imaging("hsc", sources.read_hsc_images, "hsc_file", "hsc_row", "hsc_separation_arcsec", "HSC image"),
}
"""The modalities that are images."""


def build_galaxies(
    survey: str,
    config: Mapping,
    raw: Mapping[str, Sequence[str]],
    galaxies_path: str | os.PathLike,
    flow_path: str | os.PathLike,
) -> None:
    """Write ``galaxies.parquet`` (see `skyloom.catalog.columns`) and the flow table.

    Parameters
    ----------
    survey : str
        Its name, for the flow table.
    config : mapping
        The survey's entry: ``crossmatch`` (`settings.survey.CrossMatch`), ``cuts`` and ``property_cuts`` (lists;
        absent ones take the defaults of `skyloom.catalog.cuts`), ``require_properties``, ``shards``, ``modalities``.
    raw : mapping
        Files by role: ``coadd``, and ``redrock``, ``zcatalog``, ``images``, ``hsc``, ``properties``, ``derived`` (the
        companion of ``properties``), ``truth`` (of a simulated survey), which may be empty. ``wanted``, if given, says
        what is in coadds and images that are not here yet (`skyloom.formats.wanted_galaxies`). Without a
        ``zcatalog`` the rows are those of the coadds' fibermaps, with redshifts where ``redrock`` has them.
    galaxies_path, flow_path
        Parquet, sorted by targetid, each targetid once; CSV with survey, step, cut, kept, lost.

    Raises
    ------
    BadInput
        A file that is not what it should be, or a step that leaves no galaxy; one line that says which.
    """
    flow = cuts.Flow(survey)
    wanted = wanted_galaxies.read(raw["wanted"][0]) if raw.get("wanted") else None
    told = [] if wanted is None else [role for role in ("coadd", "images") if not raw.get(role)]
    raw = {**raw, **{role: sources.wanted_files(wanted, role)[1] for role in told}}
    spectra = sources.find_spectra(raw["coadd"]) if wanted is None else sources.wanted_spectra(wanted)
    galaxies, others = _good_galaxies(config, raw, spectra, flow)
    galaxies = _with_spectra(galaxies, others, spectra, flow)
    for modality in IMAGING:
        if modality in config.get("modalities", ("spectrum", "image")):
            given = sources.wanted_images(wanted) if IMAGING[modality].role in told else None
            matching = {**config.get("crossmatch", {}), "scratch": Path(galaxies_path).parent}
            galaxies = _with_images(galaxies, modality, raw, matching, flow, given)
    galaxies = _with_properties(galaxies, raw, config, flow)
    galaxies.sort("TARGETID")
    values = _output(galaxies, spectra, raw, config.get("shards", 1), flow)
    columns.write_table(galaxies_path, values, columns.GALAXIES)
    with atomic(flow_path) as temporary:
        flow.frame().to_csv(temporary, index=False)


def write_splits(
    galaxies_path: str | os.PathLike,
    config: Mapping,
    splits_path: str | os.PathLike,
    shared_path: str | os.PathLike,
) -> None:
    """Write ``splits.parquet`` (targetid, split), in the order of the galaxies, and how much sky the splits share.

    Parameters
    ----------
    config : mapping
        The run's ``seed``, and of the survey ``split`` {kind, fractions, nside, separation_arcsec} and what
        `splits.crop_side` takes. A ``separation_arcsec`` of "crop" keeps galaxies whose images overlap in one split.
    shared_path
        JSON: ``side_arcsec`` of the largest image, ``separation_arcsec`` of the splits, ``test`` galaxies, and
        ``shared_sky``, the share of these whose image overlaps that of a training galaxy (null where there is neither,
        or no position).

    Raises
    ------
    BadConfig
        A separation of "crop" in a survey without images; what `splits.split` refuses.
    BadInput
        Pixels or crops are asked for where no galaxy has a position; published splits that the files do not state.
    """
    stated = ["published_split"] if config["split"].get("kind") == "published" else []
    galaxies = pq.read_table(galaxies_path, columns=["targetid", "ra", "dec", *stated])
    targetid, ra, dec = (galaxies[name].to_numpy() for name in ("targetid", "ra", "dec"))
    side, wanted = splits.crop_side(config), dict(config["split"])
    if wanted.get("separation_arcsec") == "crop":
        if not side:
            raise BadConfig("split.separation_arcsec: 'crop' needs image or hsc_image among the modalities")
        wanted["separation_arcsec"] = splits.apart(side)
    for key, value in (("kind", "healpix"), ("separation_arcsec", "crop")):
        if config["split"].get(key) == value and len(ra) and not np.isfinite(ra).any():
            raise BadInput(f"split.{key}: {value} needs positions, and no galaxy has one; name a table that knows them")
    if stated:
        choice = splits.published(targetid, ra, dec, galaxies[stated[0]].to_numpy(), config["seed"], wanted)
    else:
        choice = splits.split(targetid, ra, dec, seed=config["seed"], **wanted)
    for name in splits.SPLITS:
        log.info("%s: %d galaxies", name, (choice == name).sum())
        if config["split"]["fractions"].get(name, 0) > 0 and not (choice == name).any():
            log.warning("the split '%s' is empty: too few galaxies, or too few blocks of pixels", name)
    columns.write_table(splits_path, {"targetid": targetid, "split": choice}, columns.SPLITS)
    _write_shared_sky(shared_path, ra, dec, choice, side, wanted.get("separation_arcsec", 1.0))


def _write_shared_sky(path, ra, dec, choice, side: float, separation: float) -> None:
    """See `write_splits`."""
    test = int((choice == "test").sum())
    shared = splits.shared_sky(ra, dec, choice, side) if side and test else float("nan")
    shared = shared if np.isfinite(shared) else None
    if shared is not None:
        words = "%.1f %% of the test galaxies share sky with a training galaxy on images of %.1f arcsec"
        log.info(words, 100 * shared, side)
    write_json(path, {"side_arcsec": side, "separation_arcsec": separation, "test": test, "shared_sky": shared})


def _good_galaxies(config: Mapping, raw: Mapping, spectra: sources.Spectra, flow: cuts.Flow) -> tuple[Table, int]:
    """Rows that pass the quality cuts, each TARGETID once: those with a spectrum, and the number of others.

    Catalogues are read a block of rows at a time.
    """
    has_catalogue = bool(raw.get("zcatalog"))
    wanted = _cuts(config, "cuts", cuts.DESI_GALAXIES if has_catalogue else cuts.DESI_TARGETS)
    if has_catalogue:
        source = str(raw["zcatalog"][0])
        blocks = sources.zcatalog_blocks(source, wanted)
    else:
        source = f"FIBERMAP of {Path(spectra.paths[0]).name} and {len(spectra.paths) - 1} other coadd files"
        blocks = [sources.read_fibermaps(spectra.paths, raw.get("redrock", ()), wanted)]
    tally, known, kept, targetids = cuts.Tally(wanted, source), np.unique(spectra.targetid), [], []
    rows = passed = 0
    for table in blocks:
        for name in sources.PHOTOMETRY:
            if name in table.colnames:
                sources.check_numbers(table, name, source)
        good = tally.passing(table)
        rows, passed = rows + len(table), passed + good.sum()
        if has_catalogue:  # redrock may call a fit good that has no number; without a catalogue it is not needed
            good &= np.isfinite(ranges.within("z", sources.pick(table["Z"], np.arange(len(table))))[0])
        targetid = np.asarray(table["TARGETID"], np.int64)
        targetids.append(targetid[good])
        kept.append(table[good & (sources.rows_of(targetid, known) >= 0)])
    if not rows:
        raise BadInput(f"{source}: no rows")
    flow.record("catalogue", "rows read", rows, 0)
    tally.record(flow, "quality")
    good = sum(map(len, targetids))
    if has_catalogue:
        flow.record("quality", f"redshift finite, {ranges.words('z')}", good, passed - good)
        if good < passed:
            log.warning("%s: %d rows pass the cuts without a redshift that can be", source, passed - good)
    unique = len(np.unique(np.concatenate(targetids)))
    flow.record("quality", "one row a TARGETID", unique, good - unique)
    galaxies = vstack(kept, metadata_conflicts="silent") if len(kept) > 1 else kept[0]
    _, first = np.unique(galaxies["TARGETID"], return_index=True)
    return galaxies[np.sort(first)], unique - len(first)


def _cuts(config: Mapping, key: str, default: Sequence[Mapping]) -> Sequence[Mapping]:
    """The configured cuts, checked, or the default ones."""
    wanted = config.get(key)
    wanted = default if wanted is None else wanted
    for cut in wanted:
        cuts.check_cut(cut)
    return wanted


def _with_spectra(galaxies: Table, others: int, spectra: sources.Spectra, flow: cuts.Flow) -> Table:
    """Galaxies that have a row in a coadd file, which `others` have not, with ``spectrum_file`` (its number) and
    ``spectrum_row``.

    A target may be in several files: the one of the survey and program of its redshift is preferred, then the first.
    """
    left = pd.DataFrame({"galaxy": np.arange(len(galaxies)), "targetid": np.asarray(galaxies["TARGETID"])})
    right = pd.DataFrame({"targetid": spectra.targetid, "file": spectra.file, "row": spectra.row})
    found = left.merge(right, on="targetid")
    other = np.zeros(len(found), bool)
    for name, of_file in (("SURVEY", spectra.surveys), ("PROGRAM", spectra.programs)):
        if name in galaxies.colnames:
            other |= np.asarray(galaxies[name])[found["galaxy"]] != of_file[found["file"]]
    found = found.assign(other=other).sort_values(["galaxy", "other", "file", "row"]).drop_duplicates("galaxy")
    flow.record("spectrum", "spectrum in a coadd file", len(found), others + len(galaxies) - len(found))
    galaxies = galaxies[found["galaxy"].to_numpy()]
    galaxies["spectrum_file"], galaxies["spectrum_row"] = found["file"].to_numpy(), found["row"].to_numpy()
    return galaxies


def _with_images(
    galaxies: Table, modality: str, raw: Mapping, config: Mapping, flow: cuts.Flow, images: Table | None
) -> Table:
    """With the file (its number), row and separation of the image within the radius; without galaxies that have none,
    if required."""
    imaging = IMAGING[modality]
    paths = sorted_paths(raw.get(imaging.role, ()))
    if not paths:
        raise BadInput(f"{flow.survey}: modalities name '{modality}', but the survey has no {imaging.words} file")
    required = modality in config.get("require", IMAGING)
    images = imaging.read(paths) if images is None else images
    step = modality if required else f"with {modality}"
    if modality == "image" and config.get("by") == "key":
        nearest = _same_source(galaxies, images, imaging.words, flow, step)
    else:
        nearest = nearest_images(galaxies, images, imaging.words, config, flow, step)
    index = np.full(len(galaxies), -1)
    index[nearest["left"]] = nearest["right"]
    separation = np.full(len(galaxies), np.nan)
    separation[nearest["left"]] = nearest["separation_arcsec"]
    found = index >= 0
    galaxies[imaging.file] = np.where(found, images["file"][index], -1)
    galaxies[imaging.row] = np.where(found, images["row"][index], -1)
    galaxies[imaging.separation] = separation
    if modality == "image":
        _fill_photometry(galaxies, images, index)
    return galaxies[found] if required else galaxies


def nearest_images(
    galaxies: Table, images: Table, words: str, config: Mapping, flow: cuts.Flow, step: str
) -> pd.DataFrame:
    """Pairs of galaxy (TARGET_RA, TARGET_DEC) and image (ra, dec) as `crossmatch` finds them, and the lines of the flow
    table; by LSDB if the two have more rows than ``lsdb_above``."""
    radius, both = config.get("radius_arcsec", 1.0), config.get("one_to_one", True)
    positions = (galaxies["TARGET_RA"], galaxies["TARGET_DEC"], images["ra"], images["dec"])
    above = config.get("lsdb_above")
    if above is not None and len(galaxies) + len(images) > above:
        log.info("%d galaxies and %d images: matched by LSDB", len(galaxies), len(images))
        match_all, of_pairs, unique_of = (kinds.load(f"{BY_LSDB}:{name}") for name in ("pairs", "nearest", "unique"))
        found = match_all(*positions, radius, config.get("dask"), config.get("scratch", "."))
        nearest, unique = of_pairs(found), unique_of(found) if both else None
    else:
        nearest = crossmatch(*positions, radius)
        unique = crossmatch(*positions, radius, one_to_one=True) if both else None
    flow.record(step, f"{words} within {radius:g} arcsec", len(nearest), len(galaxies) - len(nearest))
    if unique is None:
        return nearest
    flow.record(step, f"{words} not closer to another galaxy", len(unique), len(nearest) - len(unique))
    return unique


def _same_source(galaxies: Table, images: Table, words: str, flow: cuts.Flow, step: str) -> pd.DataFrame:
    """Pairs of galaxy and image of one source of the Legacy Surveys; columns as those of `crossmatch`."""
    stated = set(sources.KEY) <= set(galaxies.colnames)
    key = sources.source_key(galaxies, sources.KEY) if stated else legacy.source_of_target(galaxies["TARGETID"])
    index = sources.rows_of(key, sources.source_key(images, sources.IMAGE_KEY))
    left = np.flatnonzero((index >= 0) & (key >= 0))
    flow.record(step, f"{words} of the same source", len(left), len(galaxies) - len(left))
    right = index[left]
    degrees = (galaxies["TARGET_RA"][left], galaxies["TARGET_DEC"][left], images["ra"][right], images["dec"][right])
    apart = angular_separation(*(np.radians(np.ma.filled(np.ma.asarray(v, float), np.nan)) for v in degrees))
    return pd.DataFrame({"left": left, "right": right, "separation_arcsec": np.degrees(apart) * 3600})


def _fill_photometry(galaxies: Table, images: Table, index: np.ndarray) -> None:
    """Take from row `index` (-1: none) of the imaging catalogue what the redshift catalogue has no column for."""
    for number, band in enumerate(BANDS):
        if f"FLUX_{band.upper()}" not in galaxies.colnames:
            galaxies[f"FLUX_{band.upper()}"] = sources.pick(images["flux"][:, number], index)
    if "EBV" not in galaxies.colnames and "ebv" in images.colnames:
        galaxies["EBV"] = sources.pick(images["ebv"], index)


def _with_properties(galaxies: Table, raw: Mapping, config: Mapping, flow: cuts.Flow) -> Table:
    """With labels, NaN where the property table has no row that passes its cuts; without those rows if required."""
    required = config.get("require_properties", False)
    step = "properties" if required else "labels"
    paths, companion = raw.get("properties", ()), raw.get("derived", ())
    index = np.full(len(galaxies), -1, np.int64)
    table = Table({name: np.empty(0) for name in sources.PROPERTIES})
    if paths:
        wanted = _cuts(config, "property_cuts", cuts.PROPERTIES)
        table = sources.read_properties(paths[0], companion[0] if companion else None, wanted)
        index = sources.rows_of(galaxies["TARGETID"], table["TARGETID"])
    has_row = np.flatnonzero(index >= 0)
    flow.record(step, "in the property catalogue", len(has_row), len(galaxies) - len(has_row))
    table, index = table[index[has_row]], np.full(len(galaxies), -1, np.int64)
    for name, column in PLAUSIBLE_PROPERTIES.items():
        if column in table.colnames:
            table[column] = cuts.plausible(np.asarray(table[column]), name, flow)
    mask = np.ones(len(table), bool)
    if len(table):
        mask, _ = cuts.apply_cuts(table, wanted, source=str(paths[0]), flow=flow, step=step)
        mask = _with_derived(table, mask, required, flow, step)
    index[has_row[mask]] = np.flatnonzero(mask)
    for name, values in labels(*(sources.pick(table[name], index) for name in sources.PROPERTIES)).items():
        galaxies[name] = values
    return galaxies[index >= 0] if required else galaxies


def _with_derived(table: Table, mask: np.ndarray, required: bool, flow: cuts.Flow, step: str) -> np.ndarray:
    """The rows of `mask` (n,), without those whose derived properties are not known if they are required."""
    known = mask & np.logical_and.reduce([np.isfinite(table[name]) for name in provabgs.DERIVED])
    absent = int(mask.sum() - known.sum())
    flow.record(step, "metallicity, age and star formation derived", known.sum(), absent)
    if absent:
        log.warning(
            "%s: %d galaxies of the property catalogue have no %s: those are not in the published file, but in a"
            " companion of it (skyloom.formats.provabgs)",
            *(flow.survey, absent, ", ".join(provabgs.DERIVED)),
        )
    return known if required else mask


def _image_names(raw: Mapping, imaging: Imaging) -> list[str]:
    """What the files of a kind of image are called, in the order of their numbers."""
    return file_names(sorted_paths(raw.get(imaging.role, ())))


def _truth(galaxies: Table, raw: Mapping) -> dict:
    """Redshift, class and properties that were put in, where the survey is simulated."""
    z, spectype = np.full(len(galaxies), np.nan), np.full(len(galaxies), "", "U6")
    properties = dict.fromkeys(columns.TRUE, z)
    if raw.get("truth"):
        table = sources.read_truth(raw["truth"])
        index = sources.rows_of(galaxies["TARGETID"], table["TARGETID"])
        z, spectype = sources.pick(table["Z"], index), np.where(index >= 0, table["SPECTYPE"][index], "")
        properties = labels(*(sources.pick(table[name], index) for name in sources.TRUTH))
    return {"z_true": z, "spectype_true": spectype, **{f"{name}_true": properties[name] for name in columns.TRUE}}


def _output(galaxies: Table, spectra: sources.Spectra, raw: Mapping, shards: int, flow: cuts.Flow) -> dict:
    """The columns of galaxies.parquet by name."""
    total = len(galaxies)
    file = np.asarray(galaxies["spectrum_file"])
    absent = {}
    for imaging in IMAGING.values():
        absent |= {imaging.file: -1, imaging.row: -1, imaging.separation: np.nan}
    image = {
        name: np.asarray(galaxies[name]) if name in galaxies.colnames else np.full(total, value)
        for name, value in absent.items()
    }
    for imaging in IMAGING.values():
        image[imaging.file] = columns.numbered(image[imaging.file], _image_names(raw, imaging))
    truth = _truth(galaxies, raw)
    flux = {b: cuts.plausible(_number(galaxies, f"FLUX_{b.upper()}"), f"flux_{b}", flow) for b in BANDS}
    ra, dec = _number(galaxies, "TARGET_RA"), _number(galaxies, "TARGET_DEC")
    return {
        "targetid": np.asarray(galaxies["TARGETID"]),
        "ra": ra,
        "dec": dec,
        "z": cuts.plausible(_number(galaxies, "Z"), "z", flow),
        "zerr": _number(galaxies, "ZERR"),
        "zwarn": np.nan_to_num(_number(galaxies, "ZWARN"), nan=-1).astype("i4"),
        "spectype": np.char.strip(np.asarray(galaxies["SPECTYPE"], "U")),
        **truth,
        "spectrum_file": columns.numbered(file, spectra.names),
        "spectrum_row": np.asarray(galaxies["spectrum_row"]),
        **image,
        **{f"flux_{band}": values for band, values in flux.items()},
        **{f"mag_{band}": 22.5 - 2.5 * np.log10(positive(values)) for band, values in flux.items()},
        "ebv": cuts.plausible(_number(galaxies, "EBV"), "ebv", flow),
        "healpix": nested_pixel(ra, dec, NSIDE),
        **{name: np.asarray(galaxies[name]) for name in LABELS},
        "shard": file % shards,
    }


def _number(galaxies: Table, name: str) -> np.ndarray:
    """A column as float64, NaN where it is missing."""
    if name not in galaxies.colnames:
        return np.full(len(galaxies), np.nan)
    return sources.pick(galaxies[name], np.arange(len(galaxies)))
