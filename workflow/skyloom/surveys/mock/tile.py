"""One tile of the mock survey, from a seed to the files an archive would hold.

A tile is a HEALPix pixel (nside 64, nested). Everything random in it comes from (seed, hpix), so tiles are independent
jobs whose bytes depend neither on the order nor on the number of jobs. Galaxies go through spectrum, image and
spectrograph in blocks of BLOCK; what grows with the tile is only what is written.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from threadpoolctl import threadpool_limits

from skyloom.surveys.desi import ARMS, Coadd, arm_wavelength, healpix_header, write_coadd, write_redrock
from skyloom.surveys.legacy import write_cutouts
from skyloom.surveys.mock import instrument, measure, sky, targets
from skyloom.surveys.mock.images import render
from skyloom.surveys.mock.photometry import photometry
from skyloom.surveys.mock.population import Population, draw
from skyloom.surveys.mock.spectra import REST_RANGE, spectra
from skyloom.surveys.mock.ssp import SSPGrid, load_grid
from skyloom.surveys.mock.synthesis import Templates
from skyloom.surveys.mock.truth import write_truth
from skyloom.surveys.mock.wavelengths import OBSERVED

log = logging.getLogger(__name__)

SURVEY, PROGRAM = "sv3", "bright"
BLOCK = 64
EXPOSURE = 240.0  # s, effective; the bright program aims at 180 s and its early tiles went deeper
EXPOSURE_SCATTER = 0.12  # from tile to tile, in ln
# streams of random numbers of a tile; block i of galaxies has BLOCKS + i
POPULATION, PLACES, FIBRES, SKY_FIBRES, REDSHIFTS, PROPERTIES, BLOCKS = range(7)
CONFIG_KEYS = (  # what of a survey's configuration a tile depends on
    *("galaxies_per_tile", "population", "magnitude_limit", "exposure", "resolution"),
    *("neighbours", "artefact_rate", "zero_point_scatter"),
    *("one_sided", "duplicates", "astrometric_scatter"),
)
IMAGE_FIELDS = ("r_disk", "r_bulge", "q_disk", "q_bulge", "angle", "clumpiness", "bulge_fraction")


@dataclass(frozen=True)
class Tile:
    """The galaxies of a tile, before anybody looks at them, and the rows that the two catalogues will have.

    population : n galaxies at `ra`, `dec` (degrees) behind `ebv` (mag);  exposure: s
    imaging, spectroscopy : sky.Catalogue;  status: COADD_FIBERSTATUS of each row of the latter
    """

    hpix: int
    seed: int
    population: Population
    ra: np.ndarray
    dec: np.ndarray
    ebv: np.ndarray
    exposure: float
    imaging: sky.Catalogue
    spectroscopy: sky.Catalogue
    status: np.ndarray


def make_tile(
    hpix: int,
    seed: int,
    config: Mapping,
    grid_path: str | os.PathLike,
    sky_path: str | os.PathLike,
    outputs: Mapping[str, str | os.PathLike],
) -> None:
    """Make the files of one tile.

    Parameters
    ----------
    hpix : HEALPix pixel, nside 64, nested
    seed : of the survey
    config : the survey's configuration: `galaxies_per_tile` (mean of a tile without edge), `population`; optionally
        `exposure` (s), `resolution` (write the RESOLUTION HDUs), and what images.render and sky.catalog_scatter take;
        other keys (CONFIG_KEYS has all) change nothing
    grid_path : from ssp.build_grid;  sky_path: desispec's spec-sky.dat
    outputs : paths by role: coadd, redrock, images, truth
    """
    config = {name: config[name] for name in CONFIG_KEYS if name in config} | {"seed": seed}
    # one thread: the sums inside a matrix product must not depend on how many cores there are
    with threadpool_limits(1):
        grid = load_grid(grid_path, REST_RANGE)
        tile = plan(hpix, config, grid)
        night = instrument.load_sky(sky_path)
        spectra_rows, measured, images = _observe_galaxies(tile, config, Templates.of(grid), night)
        fibermap, spectra_rows, snr = _with_sky_fibres(tile, measured, spectra_rows, night)
        redshifts = _redshifts(tile, fibermap, snr)
        header = healpix_header(hpix, SURVEY, PROGRAM)
        coadd = _coadd(fibermap, spectra_rows, config.get("resolution", False), header)
        write_coadd(outputs["coadd"], coadd)
        write_redrock(outputs["redrock"], redshifts, fibermap, header)
        write_cutouts(outputs["images"], images, _cutout_columns(tile, measured, redshifts))
        write_truth(outputs["truth"], tile, config, _catalogue_truth(tile, measured, redshifts))
    log.info("tile %d: %d galaxies, %d spectra, %d images", hpix, len(tile.population), len(fibermap), len(images))


def plan(hpix: int, config: Mapping, grid: SSPGrid) -> Tile:
    """Draw the galaxies of a tile and decide which catalogue sees which."""
    seed = config["seed"]
    n = max(1, sky.expected_count(hpix, config["galaxies_per_tile"], config))
    population = draw(n, _stream(seed, hpix, POPULATION), config, grid)
    rng = _stream(seed, hpix, PLACES)
    ra, dec = sky.positions(hpix, n, rng, config, redshift=population.redshift)
    imaging, spectroscopy = sky.catalog_scatter(ra, dec, hpix, rng, config)
    rng = _stream(seed, hpix, FIBRES)
    return Tile(
        hpix=hpix,
        seed=seed,
        population=population,
        ra=ra,
        dec=dec,
        ebv=sky.galactic_ebv(ra, dec, seed),
        exposure=config.get("exposure", EXPOSURE) * np.exp(EXPOSURE_SCATTER * rng.standard_normal()),
        imaging=imaging,
        spectroscopy=spectroscopy,
        status=targets.fibre_status(len(spectroscopy), rng),
    )


def _stream(seed: int, hpix: int, name: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, hpix], spawn_key=(name,)))


def _observe_galaxies(tile: Tile, config, templates: Templates, night):
    """Spectra of the spectroscopic rows (an Observation), what is measured of each galaxy, images of the imaging rows.

    Blocks are of galaxies, in order; within one, spectrum, photometry, image and exposure draw from the block's stream.
    """
    images = np.empty((len(tile.imaging), 3, 152, 152), "f4")
    parts, measured = [], []
    for number, start in enumerate(range(0, len(tile.population), BLOCK)):
        rows = slice(start, min(start + BLOCK, len(tile.population)))
        rng = _stream(tile.seed, tile.hpix, BLOCKS + number)
        galaxies = tile.population[rows]
        noiseless = spectra(galaxies, templates, tile.ebv[rows])
        flux = photometry(noiseless)
        shape = {name: getattr(galaxies, name) for name in IMAGE_FIELDS}
        pictures, info = render({**shape, "ra": tile.ra[rows], "dec": tile.dec[rows]}, flux, rng, config)
        for row in np.flatnonzero((tile.imaging.source >= rows.start) & (tile.imaging.source < rows.stop)):
            images[row] = pictures[tile.imaging.source[row] - start]
        radius = targets.half_light_radius(shape)
        seen, ivar = measure.photometry(flux, radius, info["psfdepth"], rng)
        info = {name: info[name] for name in ("psfsize", "psfdepth", "fibre_fraction", "fibreflux", "artefacts")}
        measured.append({"true_flux": flux, "flux": seen, "flux_ivar": ivar, **info})
        parts.append(_expose(tile, rows, noiseless, info["fibre_fraction"], night, rng))
    return _join(parts), {name: np.concatenate([m[name] for m in measured]) for name in measured[0]}, images


def _expose(tile: Tile, rows: slice, noiseless, fibre_fraction, night, rng) -> instrument.Observation:
    """Put fibres on the galaxies of a block that are spectroscopic targets; bad fibres miss them or see nothing."""
    targeted = (tile.spectroscopy.source >= rows.start) & (tile.spectroscopy.source < rows.stop)
    local, status = tile.spectroscopy.source[targeted] - rows.start, tile.status[targeted]
    on_target = np.where(status == 0, fibre_fraction[local], 0.0)
    observation = instrument.observe(noiseless[local], on_target, tile.exposure, night, rng)
    for arm in ARMS:
        for values in (observation.flux[arm], observation.ivar[arm]):
            values[status == targets.BROKENFIBER] = 0
    return observation


def _join(parts: list[instrument.Observation]) -> instrument.Observation:
    return instrument.Observation(
        *(
            {arm: np.concatenate([getattr(part, kind)[arm] for part in parts]) for arm in ARMS}
            for kind in ("flux", "ivar", "mask", "truth")
        )
    )


def _with_sky_fibres(tile: Tile, measured, observation, night):
    """The FIBERMAP with sky fibres after the galaxies, all spectra in its order, and their signal-to-noise (N,)."""
    source = tile.spectroscopy.source
    shape = {name: getattr(tile.population, name)[source] for name in IMAGE_FIELDS}
    fluxes = {name: measured[name][source] for name in ("flux", "flux_ivar", "fibreflux")}
    rng = _stream(tile.seed, tile.hpix, SKY_FIBRES)
    fibermap = targets.fibermap(tile.spectroscopy, shape, fluxes, tile.ebv[source], tile.exposure, tile.status)
    fibermap = targets.with_sky_fibres(fibermap, tile.hpix, tile.exposure, rng)
    blank = np.zeros((len(fibermap) - len(source), len(OBSERVED)), "f4")
    observation = _join([observation, instrument.observe(blank, np.ones(len(blank)), tile.exposure, night, rng)])
    return fibermap, observation, measure.signal_to_noise(observation)


def _redshifts(tile: Tile, fibermap: Table, snr: np.ndarray) -> Table:
    z = np.full(len(fibermap), np.nan)
    z[: len(tile.spectroscopy)] = tile.population.redshift[tile.spectroscopy.source]
    z[fibermap["COADD_FIBERSTATUS"] != 0] = np.nan
    return measure.redshifts(np.asarray(fibermap["TARGETID"]), z, snr, _stream(tile.seed, tile.hpix, REDSHIFTS))


def _coadd(fibermap: Table, observation, with_resolution: bool, header: dict) -> Coadd:
    resolution = None
    if with_resolution:
        shape = {arm: (len(fibermap), *instrument.resolution(arm).shape) for arm in ARMS}
        resolution = {arm: np.broadcast_to(instrument.resolution(arm), shape[arm]) for arm in ARMS}
    return Coadd(
        fibermap=fibermap,
        wavelength={arm: arm_wavelength(arm) for arm in ARMS},
        flux=observation.flux,
        ivar=observation.ivar,
        mask=observation.mask,
        resolution=resolution,
        header=header,
    )


def _cutout_columns(tile: Tile, measured, redshifts: Table) -> dict[str, np.ndarray]:
    """The imaging catalogue: its own positions, identifiers, row order; z_spec where a redshift was measured."""
    rows = tile.imaging.source
    z_spec = np.full(len(tile.population), np.nan)
    good = np.asarray(redshifts["ZWARN"][: len(tile.spectroscopy)] == 0)
    z_spec[tile.spectroscopy.source[good]] = redshifts["Z"][: len(tile.spectroscopy)][good]
    return {
        "ra": tile.imaging.ra,
        "dec": tile.imaging.dec,
        "release": tile.imaging.release,
        "brickid": tile.imaging.brickid,
        "objid": tile.imaging.objid,
        "inds": np.arange(len(rows)),
        "ebv": tile.ebv[rows],
        "z_spec": z_spec[rows],
        "flux": measured["flux"][rows],
        "fiberflux": measured["fibreflux"][rows],
        "psfsize": measured["psfsize"][rows],
        "psfdepth": measured["psfdepth"][rows],
    }


def _catalogue_truth(tile: Tile, measured, redshifts: Table) -> dict[str, np.ndarray]:
    """What the truth table holds beyond the population: one row a galaxy, TARGETID 0 for those without a spectrum."""
    n = len(tile.population)
    targetid = np.zeros(n, "i8")
    targetid[tile.spectroscopy.source] = redshifts["TARGETID"][: len(tile.spectroscopy)]
    return {
        "targetid": targetid,
        "ra": tile.ra,
        "dec": tile.dec,
        "ebv": tile.ebv,
        "fibre_fraction": measured["fibre_fraction"],
        "artefacts": measured["artefacts"],
        **{f"flux_{band}": measured["true_flux"][:, i] for i, band in enumerate("grz")},
        **measure.properties(tile.population, _stream(tile.seed, tile.hpix, PROPERTIES)),
    }
