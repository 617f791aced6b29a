"""The mock galaxies that are compared: those of the survey's files, and samples drawn from the library."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas
from astropy.io import fits
from astropy.table import Table

from skyloom.analysis.common.tables import read_parquet
from skyloom.core.errors import BadInput
from skyloom.formats.desi import ARMS, Coadd, arm_wavelength, combine_arms, read_coadd, read_zcatalog
from skyloom.mock.footprint import WHOLE_SKY
from skyloom.mock.instruments.spectrograph.instrument import PSF_TO_FIBRE, load_sky, observe
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.ssp import load_grid
from skyloom.mock.universe.light.synthesis import Templates
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.parametric import surface_density
from skyloom.mock.universe.population.population import Population
from skyloom.mock.universe.population.programs import fibre_share
from skyloom.mock.universe.spectra import components, rest_range

LOCAL_Z = (0.03, 0.10)
LOCAL_CONFIG = {"magnitude_limit": 19.5, "redshift_max": 0.1}  # LSST i: complete above 10^9.5 Msun to z = .1
PROGRAMS = ("lrg", "elg", "qso")
WAVELENGTHS = {arm: arm_wavelength(arm) for arm in ARMS}
CANDIDATES = 8192  # drawn to know what share of them a selection accepts
TRUTH_COLUMNS = (
    *("targetid", "target", "redshift", "ebv", "log_mstar", "z_mw", "t_age_mw", "avg_sfr", "mag_g", "mag_r", "mag_z"),
    *("fibre_fraction", "flux_g", "flux_r", "flux_z"),
)
CATALOGUE_COLUMNS = (
    *("TARGETID", "Z", "ZWARN", "SPECTYPE", "OBJTYPE", "PROGRAM", "COADD_FIBERSTATUS", "ZCAT_PRIMARY", "EBV"),
    *("FLUX_G", "FLUX_R", "FLUX_Z", "FIBERFLUX_R"),
)


@dataclass
class Survey:
    """BGS targets of the survey's files.

    catalogue : a row a spectrum of the bright program: CATALOGUE_COLUMNS, and TRUTH_COLUMNS of its galaxy
    targets : how many galaxies the truth files have, by kind of target
    """

    catalogue: pandas.DataFrame
    targets: dict[str, int]


@dataclass
class Spectra:
    """Spectra as observed: rows of the catalogue, flux and ivar (n, 7781), exposure (n,) s."""

    table: pandas.DataFrame
    flux: np.ndarray
    ivar: np.ndarray
    exposure: np.ndarray


@dataclass
class Library:
    """Samples drawn with the survey's population, deeper or nearer than its tiles.

    local : all galaxies with LOCAL_Z, complete above scaling.COMPLETE;  volume: Mpc^3 that they fill, NaN if the
        population does not say how many galaxies a square degree has
    bgs : BGS Bright and Faint;  sdss: those as bright as the main sample of SDSS, r < 17.77
    programs : name -> targets of LRG, ELG, QSO
    density : targets per square degree by kind: "bright" and "faint" (BGS), lrg, elg, qso; NaN as for the volume
    """

    local: Population
    volume: float
    bgs: Population
    sdss: Population
    programs: dict[str, Population]
    density: dict[str, float]


def read_survey(truth_paths: Sequence[str | os.PathLike], zcatalog_path: str | os.PathLike) -> Survey:
    """BGS spectra of the survey with the truth of their galaxies, in the order of the redshift catalogue.

    Raises BadInput if there are none.
    """
    truth = pandas.concat([read_parquet(path, list(TRUTH_COLUMNS)) for path in truth_paths], ignore_index=True)
    rows = read_zcatalog(zcatalog_path, CATALOGUE_COLUMNS)
    table = pandas.DataFrame({name: _native(rows[name]) for name in CATALOGUE_COLUMNS})
    table = table[(table["OBJTYPE"] == "TGT") & table["ZCAT_PRIMARY"]]
    bgs = truth[(truth["target"] == "bgs") & (truth["targetid"] != 0)]
    joined = table.merge(bgs.rename(columns={"targetid": "TARGETID"}), on="TARGETID", how="inner")
    if not len(joined):
        raise BadInput(f"{zcatalog_path}: no spectrum of a BGS galaxy, with which a mock survey is compared")
    return Survey(joined, truth["target"].value_counts().to_dict())


def _native(column) -> np.ndarray:
    values = np.asarray(column)
    if values.dtype.kind in "SU":
        return np.char.strip(values.astype(str))
    return values.astype(values.dtype.newbyteorder("="))


def read_spectra(coadd_paths: Sequence[str | os.PathLike], catalogue: pandas.DataFrame, count: int) -> "Spectra":
    """About `count` spectra of `catalogue`, spread evenly over the coadds; only these are read."""
    parts, share = [], -(-count // len(coadd_paths))
    for path in coadd_paths:
        with fits.open(path) as hdus:
            targetid = np.asarray(hdus["FIBERMAP"].data["TARGETID"])
            exposure = np.asarray(hdus["FIBERMAP"].data["COADD_EXPTIME"], float)
        known = np.flatnonzero(np.isin(targetid, catalogue["TARGETID"]))
        if not len(known):
            continue
        rows = known[np.unique(np.linspace(0, len(known) - 1, share).astype(int))]
        flux, ivar = combine_arms(read_coadd(path, rows))
        parts.append((catalogue.set_index("TARGETID").loc[targetid[rows]], flux, ivar, exposure[rows]))
    if not parts:
        raise BadInput(f"{coadd_paths[0]}: no spectrum of a BGS target of the redshift catalogue")
    table = pandas.concat([part[0] for part in parts]).reset_index()
    return Spectra(table, *(np.concatenate([part[k] for part in parts]) for k in (1, 2, 3)))


def draw_library(grid_path: str | os.PathLike, config: Mapping, seed: int, size: int = 4000) -> Library:
    """Samples of the survey's population: `size` local galaxies and as many BGS, a tenth of it of other targets."""
    population = {"population": config["population"]} if "population" in config else {}
    stream = np.random.default_rng(np.random.SeedSequence([seed], spawn_key=(7,)))
    deep = population | {"magnitude_limit": 20.175}

    grid = load_grid(grid_path, rest_range("all"))
    local = draw(size, stream, population | LOCAL_CONFIG, grid, "all")
    inside = (local.redshift >= LOCAL_Z[0]) & (local.redshift < LOCAL_Z[1])
    per_degree = _density(stream, population | LOCAL_CONFIG, grid, "all")
    # the drawn galaxies are those of so many square degrees
    area = size / per_degree
    shell = np.diff(cosmology.comoving_volume(np.array(LOCAL_Z)))[0]
    bgs = draw(size, stream, deep, grid, "bgs")
    sdss = draw(size // 3, stream, population | {"magnitude_limit": 17.77}, grid, "bgs")
    bright = float((bgs.mag_r < 19.5).mean())
    targets = {"bgs": _density(stream, deep, grid, "bgs")}
    programs = {}
    for name in PROGRAMS:
        programs[name] = draw(size // 10, stream, population, grid, name)
        targets[name] = _density(stream, population, grid, name)
    density = {"bright": targets["bgs"] * bright, "faint": targets["bgs"] * (1 - bright)}
    density |= {name: targets[name] for name in PROGRAMS}
    return Library(local[inside], shell * area / WHOLE_SKY, bgs, sdss, programs, density)


def _density(rng, config, grid, target) -> float:
    """Galaxies of a target per square degree; NaN for populations that do not say."""
    if config.get("population", "parametric") != "parametric":
        return np.nan
    return surface_density(CANDIDATES, rng, config, grid, target)


class Observer:
    """Spectra of library galaxies through the mock spectrograph.

    Parameters
    ----------
    grid_path : from ssp.build_grid;  sky_path: from desispec;  target: whose redshifts the templates must cover
    """

    def __init__(self, grid_path, sky_path, target: str):
        self.templates = Templates.of(load_grid(grid_path, rest_range(target)))
        self.night = load_sky(sky_path)
        self.target = target

    def noiseless(self, galaxies: Population) -> np.ndarray:
        """Light (n, 9626) of the galaxies that enters the fibre, calibrated on stars, before the instrument."""
        host, nucleus = components(galaxies, self.templates, np.zeros(len(galaxies)))
        return host * (fibre_share(galaxies) / PSF_TO_FIBRE)[:, None].astype("f4") + nucleus

    def observe(self, light: np.ndarray, exposure: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Flux and ivar (n, 7781) of light that entered the fibre during `exposure` (s)."""
        seen = observe(light, np.full(len(light), PSF_TO_FIBRE), exposure, self.night, rng)
        rows = Table({"ROW": np.arange(len(light))})
        return combine_arms(Coadd(rows, WAVELENGTHS, seen.flux, seen.ivar, seen.mask))
