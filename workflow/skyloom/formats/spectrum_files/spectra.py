"""Spectra as every reader of this folder gives them, and their units."""

import dataclasses
import functools
import re
import warnings
from collections.abc import Mapping

import numpy as np
from astropy import units

from skyloom.core.errors import BadConfig, BadInput
from skyloom.settings.names import CLASSES

FLUX_UNIT = units.Unit("1e-17 erg / (s cm2 Angstrom)")
NUMBERS = (
    *("redshift", "zerr", "ra", "dec", "log_mstar", "z_mw", "t_age", "avg_sfr"),
    *("flux_g", "flux_r", "flux_z", "ebv"),
)
"""What may be known of an object besides its class, one number each; NaN where it is not known."""
NOISE = ("ivar", "error", "variance")
"""How a file may state its noise."""
MOST_FALLS = 8
"""Wavelengths fall this often at most: from the end of an arm to the beginning of the next. More, and they are no
wavelengths."""
_SPELLINGS = {r"\b(Ang|Angstroms)\b": "Angstrom", r"\bergs\b": "erg", r"\bmicrons\b": "micron", r"\b10\^": "10**"}
"""How archives write units, and how astropy does."""
_NAMES = {"GAL": "GALAXY", "QUASAR": "QSO", **{name: name for name in CLASSES}}


@dataclasses.dataclass
class Spectra:
    """N spectra of one file.

    Attributes
    ----------
    row : (N,) where in the file, from 0
    wavelength : (P,), or (N, P) where each has its own; Angstrom in vacuum, NaN where a pixel is none
    flux : (N, P) 1e-17 erg/s/cm2/Angstrom
    ivar : (N, P) inverse variance of the flux, 0 for bad pixels; None where the file has none
    good : (N, P) bool, pixels that are not masked
    identifier : (N,) text, empty where the file has none
    spectype : (N,) one of `CLASSES`, or empty
    numbers : name of `NUMBERS` -> (N,) f8
    reason : (N,) text, why the file itself says that a spectrum is of no use; empty for the others
    split : (N,) text, the split that the file says a galaxy is in, where it says so of rows; None of most files, whose
        names may say it
    """

    row: np.ndarray
    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray | None
    good: np.ndarray
    identifier: np.ndarray
    spectype: np.ndarray
    numbers: Mapping[str, np.ndarray]
    reason: np.ndarray
    split: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.row)


def to_vacuum(air: np.ndarray) -> np.ndarray:
    """Wavelengths in vacuum from those in standard air, Angstrom, any shape (Ciddor 1996, Appl. Opt. 35, 1566).

    Below 2000 Angstrom wavelengths are given in vacuum, and stay as they are.
    """
    air = np.asarray(air, np.float64)
    vacuum = air.copy()
    with np.errstate(all="ignore"):
        for _ in range(3):  # the index is that of the wavelength in vacuum: 1e-9 Angstrom after three steps
            squared = (1e4 / vacuum) ** 2
            vacuum = air * (1 + 5.792105e-2 / (238.0185 - squared) + 1.67917e-3 / (57.362 - squared))
    return np.where(air >= 2000, vacuum, air)


def angstrom(values: np.ndarray, unit: str, scale: str, medium: str) -> np.ndarray:
    """Wavelengths in vacuum, Angstrom, NaN where there is none (not a number, not above zero).

    Parameters
    ----------
    values : any shape, in `unit` or, of scale "log10" or "ln", its logarithm
    medium : "vacuum" or "air"
    """
    values = np.asarray(values, np.float64)
    with np.errstate(all="ignore"):
        if scale != "linear":
            values = 10.0**values if scale == "log10" else np.exp(values)
        values = values * parsed(unit, "wavelength", units.Angstrom)
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return to_vacuum(values) if medium == "air" else values


@functools.cache
def parsed(unit: str, what: str, target: units.UnitBase) -> float:
    """How many of `target` a `unit` is; BadConfig if it is another kind of unit."""
    try:
        return _unit(unit).to(target)
    except (ValueError, TypeError, units.UnitConversionError):
        raise BadConfig(
            f"columns.{what}.unit: {unit!r} is not allowed; expected a unit such as {target.to_string()}"
        ) from None


def _unit(text: str) -> units.UnitBase:
    for pattern, name in _SPELLINGS.items():
        text = re.sub(pattern, name, text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)  # several slashes, as everyone writes them
        return units.Unit(text)


def flux_factor(unit: str, wavelength: np.ndarray) -> np.ndarray:
    """What flux densities in `unit`, per wavelength or per frequency, are multiplied by to be in `FLUX_UNIT`.

    Parameters
    ----------
    wavelength : any shape, Angstrom in vacuum

    Raises
    ------
    BadConfig : not a unit of flux density.
    """
    try:
        parsed_unit = _unit(unit)
        if parsed_unit.is_equivalent(FLUX_UNIT):
            return np.asarray(parsed_unit.to(FLUX_UNIT))
        return parsed_unit.to(FLUX_UNIT, 1.0, units.spectral_density(np.asarray(wavelength) * units.Angstrom))
    except (ValueError, TypeError, units.UnitConversionError):
        allowed = "a flux density per wavelength or frequency, such as 1e-17 erg / (s cm2 Angstrom) or uJy"
        raise BadConfig(f"columns.flux.unit: {unit!r} is not allowed; expected {allowed}") from None


def is_flux_unit(unit: str | None) -> bool:
    """True for the name of a unit of flux density that astropy knows."""
    try:
        flux_factor(unit or "none", np.array([5000.0]))
    except BadConfig:
        return False
    return True


def is_length(unit: str | None) -> bool:
    """True for the name of a unit of length that astropy knows."""
    try:
        parsed(unit or "none", "wavelength", units.Angstrom)
    except BadConfig:
        return False
    return True


def inverse_variance(noise: np.ndarray, kind: str) -> np.ndarray:
    """Inverse variances from values of a `kind` of `NOISE`; 0 where it is not a number above zero."""
    noise = np.asarray(noise, np.float64)
    power = {"ivar": 1, "variance": -1, "error": -2}[kind]
    with np.errstate(all="ignore"):
        found = np.where(noise > 0, noise**power, 0.0)
    return np.where(np.isfinite(found), found, 0.0)


def classes(values: np.ndarray, names: Mapping[str, str] | None = None) -> np.ndarray:
    """Classes by their names here, (N,) text, from those of a file (`names` says how it calls them); else empty."""
    known = {**_NAMES, **{str(key).upper(): value for key, value in (names or {}).items()}}
    return np.array([known.get(text.upper(), "") for text in texts(values)], dtype="U6")


def texts(values: np.ndarray) -> np.ndarray:
    """Any values (N,) as texts: whole numbers without a point, bytes decoded, missing ones empty."""
    return np.array([_text(value) for value in np.asarray(values).tolist()], dtype=object)


def _text(value) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def blank(rows: int) -> np.ndarray:
    """(N,) empty texts."""
    return np.full(rows, "", dtype=object)


def same_length(path, **parts: np.ndarray) -> None:
    """BadInput unless all arrays have pixels as many as the first."""
    lengths = {name: values.shape[-1] for name, values in parts.items() if values is not None}
    first = next(iter(lengths))
    for name, length in lengths.items():
        if length != lengths[first]:
            raise BadInput(f"{path}: lengths differ: {first} has {lengths[first]} pixels, {name} has {length}")
