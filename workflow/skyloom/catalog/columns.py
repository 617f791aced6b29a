"""The columns of galaxies.parquet, with units, UCDs and words, and Parquet that carries them to every reader."""

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.table import Table
from astropy.table.meta import get_yaml_from_table

from skyloom.core.files import atomic

BANDS = {"g": "em.opt.B", "r": "em.opt.R", "z": "em.opt.I"}

TRUE = {
    "log_mstar": ("dex(solMass)", "phys.mass"),
    "log_z_mw": ("", "phys.abund.Z"),
    "t_age": ("Gyr", "time.age"),
    "log_ssfr": ("dex(1 / yr)", "phys.SFR;arith.ratio"),
}
"""Properties of which a simulated survey knows the truth besides the measured value -> unit, UCD."""

GALAXIES: dict[str, tuple[str, str, str, str]] = {
    "targetid": ("i8", "", "meta.id;meta.main", "DESI target identifier"),
    "ra": ("f8", "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS"),
    "dec": ("f8", "deg", "pos.eq.dec;meta.main", "Declination, ICRS"),
    "z": ("f8", "", "src.redshift", "Heliocentric redshift; NaN where none was measured"),
    "zerr": ("f8", "", "stat.error;src.redshift", "Standard error of z"),
    "zwarn": ("i4", "", "meta.code.qual;src.redshift", "Warning bits of z as redrock has them, 0 for none; -1 unknown"),
    "spectype": ("U", "", "meta.code.class", "Class of the spectrum, GALAXY, QSO or STAR; empty where not known"),
    "z_true": ("f8", "", "src.redshift;meta.modelled", "Redshift that was put in; NaN in a survey of the sky"),
    "spectype_true": ("U", "", "meta.code.class;meta.modelled", "Class that was put in; empty in a survey of the sky"),
    "spectrum_file": ("U", "", "meta.dataset", "Name of the coadd file with the spectrum"),
    "spectrum_row": ("i4", "", "meta.record", "Row of the spectrum in that file, from 0"),
    "image_file": ("U", "", "meta.dataset", "Name of the file with the image; empty where there is none"),
    "image_row": ("i4", "", "meta.record", "Row of the image in that file, from 0; -1 where there is none"),
    "separation_arcsec": ("f8", "arcsec", "pos.angDistance", "Distance on the sky between spectrum and image"),
    "hsc_file": ("U", "", "meta.dataset", "Name of the file with the HSC image; empty where there is none"),
    "hsc_row": ("i4", "", "meta.record", "Row of the HSC image in that file, from 0; -1 where there is none"),
    "hsc_separation_arcsec": ("f8", "arcsec", "pos.angDistance", "Distance on the sky between spectrum and HSC image"),
    **{f"flux_{b}": ("f8", "nmgy", f"phot.flux;{ucd}", f"Total flux, {b} band") for b, ucd in BANDS.items()},
    **{
        f"mag_{b}": ("f8", "mag", f"phot.mag;{ucd}", f"22.5 - 2.5 log10(flux_{b}), AB, as observed (not dereddened)")
        for b, ucd in BANDS.items()
    },
    "ebv": ("f8", "mag", "phot.color.excess", "Galactic reddening E(B-V)"),
    "healpix": ("i8", "", "pos.healpix", "Nested HEALPix pixel, nside 64; -1 without a position"),
    "log_mstar": ("f8", "dex(solMass)", "phys.mass", "log10 of the stellar mass"),
    "z_mw": ("f8", "", "phys.abund.Z", "Mass-weighted stellar metallicity, mass fraction"),
    "log_z_mw": ("f8", "", "phys.abund.Z", "log10 of z_mw"),
    "t_age": ("f8", "Gyr", "time.age", "Mass-weighted stellar age"),
    "avg_sfr": ("f8", "solMass / yr", "phys.SFR", "Star formation rate"),
    "log_ssfr": (
        "f8",
        "dex(1 / yr)",
        "phys.SFR;arith.ratio",
        "Specific star formation rate, log10(avg_sfr) - log_mstar",
    ),
    "ssfr_legacy": (
        "f8",
        "",
        "phys.SFR;arith.ratio",
        "ln(avg_sfr) - ln(z_mw): published as 'sSFR', which it is not",
    ),
    **{
        f"{name}_true": ("f8", unit, f"{ucd};meta.modelled", f"{name} that was put in; NaN in a survey of the sky")
        for name, (unit, ucd) in TRUE.items()
    },
    "shard": ("i4", "", "meta.number", "Number of the token shard the galaxy goes to"),
}
"""Name -> (type, unit, UCD, description)."""

SPLITS: dict[str, tuple[str, str, str, str]] = {
    "targetid": GALAXIES["targetid"],
    "split": ("U", "", "meta.code.class", "train, validation or test"),
}

_ROWS = 2**17  # of a row group

ARROW = {"i8": pa.int64(), "i4": pa.int32(), "f8": pa.float64(), "?": pa.bool_(), "U": pa.string()}


def numbered(number: np.ndarray, names: Sequence[str]) -> pa.DictionaryArray:
    """A column of texts (n,) from their numbers among a few `names`; -1 is the empty text.

    File names written out take 400 bytes a galaxy as numpy strings, their numbers four.
    """
    return pa.DictionaryArray.from_arrays(pa.array(np.asarray(number) + 1, pa.int32()), pa.array(["", *names]))


def write_table(path: str | os.PathLike, values: dict, columns: dict[str, tuple[str, str, str, str]]) -> None:
    """Write columns as Parquet; the same values give the same bytes.

    Texts may come as an Arrow dictionary (see `numbered`). Parquet itself keeps every text of a row group once; the
    type in the file is that of text, since astropy reads no other. Each field carries unit, ucd and description in its
    metadata; astropy finds them in its own form beside, so that ``Table.read`` gives columns with units.
    """
    fields, arrays, lengths = [], [], {}
    for name, (kind, unit, ucd, description) in columns.items():
        words = {"unit": unit, "ucd": ucd, "description": description}
        fields.append(pa.field(name, ARROW[kind], metadata={key: word for key, word in words.items() if word}))
        given = values[name]
        arrays.append(given if isinstance(given, pa.DictionaryArray) else pa.array(given, ARROW[kind]))
        if kind == "U":
            lengths[f"table::len::{name}"] = str(_longest(arrays[-1]))
    schema = pa.schema(fields, metadata={"table_meta_yaml": _astropy_yaml(columns), **lengths})
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as file:
        for start in range(0, max(len(arrays[0]), 1), _ROWS):
            part = [array.slice(start, _ROWS).cast(field.type) for array, field in zip(arrays, schema, strict=True)]
            file.write_table(pa.Table.from_arrays(part, schema=schema))


def _longest(texts: pa.Array) -> int:
    """Length of the longest text; 1 if there is none."""
    if isinstance(texts, pa.DictionaryArray):
        texts = texts.dictionary.take(pc.unique(texts.indices))
    return pc.max(pc.utf8_length(texts)).as_py() if len(texts) else 1


def _astropy_yaml(columns: dict[str, tuple[str, str, str, str]]) -> str:
    table = Table()
    for name, (kind, unit, ucd, description) in columns.items():
        table[name] = [""] if kind == "U" else [0]
        table[name] = table[name].astype("U1" if kind == "U" else kind)
        table[name].unit, table[name].description, table[name].meta = unit or None, description, {"ucd": ucd}
    return "\n".join(get_yaml_from_table(table))
