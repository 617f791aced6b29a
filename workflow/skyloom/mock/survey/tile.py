"""One tile of the mock survey in one program, from a seed to the files an archive would hold.

A tile is a HEALPix pixel (nside 64, nested). Everything random in it comes from (seed, hpix, program), so tiles are
independent jobs whose bytes depend neither on the order nor on the number of jobs. Galaxies go through spectrum, image,
spectrograph and redshift fit in blocks of blocks.SIZE, which are appended to the files: what grows with the tile is
only the catalogue, with the arms and clumps of its galaxies (about 8 kB a galaxy).
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from astropy.table import Table, vstack
from threadpoolctl import threadpool_limits

from skyloom.formats import galaxiesml, legacy
from skyloom.formats.desi import (
    ARMS,
    Coadd,
    CoaddWriter,
    arm_wavelength,
    coadd_writer,
    combine_arms,
    healpix_header,
    write_redrock,
)
from skyloom.mock.instruments.images.images import HSC, HSC_LARGE, HSC_ON_LEGACY, LEGACY
from skyloom.mock.instruments.spectrograph import instrument
from skyloom.mock.instruments.spectrograph.redshift_fit import Fitter
from skyloom.mock.layout import SURVEY, TARGETS, TILE_KEYS, default
from skyloom.mock.survey import anomalies, blocks, rows, targets
from skyloom.mock.survey.beside import Beside
from skyloom.mock.survey.company import Company
from skyloom.mock.survey.truth import rest_range, write_truth
from skyloom.mock.universe.light.ssp import SSPGrid, load_grid
from skyloom.mock.universe.light.synthesis import Templates
from skyloom.mock.universe.light.wavelengths import OBSERVED
from skyloom.mock.universe.population.draw import draw
from skyloom.mock.universe.population.population import Population, join
from skyloom.mock.universe.sky import environment, sky

log = logging.getLogger(__name__)

IMAGE_CAMERAS = {"legacy": LEGACY, "hsc": HSC_ON_LEGACY}
HSC_CAMERAS = {camera.size: camera for camera in (HSC, HSC_LARGE)}
EXPOSURE_SCATTER = 0.12  # from tile to tile, in ln
# streams of random numbers of a tile; block i has BLOCKS + i, which none other may have
POPULATION, PLACES, CATALOGUES, SECOND, FIBRES, SKY_FIBRES, PROPERTIES, ANOMALIES, NUCLEI, BLOCKS = range(10)
COMPANY = 1_000_000


@dataclass(frozen=True)
class Tile:
    """The galaxies of a tile, before anybody looks at them, and the rows that the catalogues will have.

    population : n galaxies, at `environment`, behind `ebv` (mag), of which some have `anomalies`;  exposure: s
    imaging, spectroscopy, second_imaging : sky.Catalogue;  status: COADD_FIBERSTATUS of each row of spectroscopy
    """

    hpix: int
    program: str
    seed: int
    population: Population
    environment: environment.Environment
    anomalies: anomalies.Anomalies
    ebv: np.ndarray
    exposure: float
    imaging: sky.Catalogue
    second_imaging: sky.Catalogue
    spectroscopy: sky.Catalogue
    status: np.ndarray

    @property
    def ra(self) -> np.ndarray:
        """(n,) degrees."""
        return self.environment.ra

    @property
    def dec(self) -> np.ndarray:
        """(n,) degrees."""
        return self.environment.dec

    @property
    def number(self) -> int:
        """A number that no other tile of the survey has, in any program."""
        return 2 * self.hpix + list(TARGETS).index(self.program)

    def stream(self, *name: int) -> np.random.Generator:
        """Random numbers for one purpose."""
        return _stream(self.seed, self.hpix, self.program, *name)


def make_tile(
    hpix: int,
    program: str,
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
    program : "bright" (BGS) or "dark" (LRG, ELG, QSO)
    seed : of the survey
    config : the survey's configuration: `targets_per_tile` (mean of a tile without edge, by kind), `population`;
        optionally the other keys of layout.TILE_KEYS; further ones change nothing
    grid_path : from ssp.build_grid;  sky_path: desispec's spec-sky.dat
    outputs : paths by role: coadd, redrock, images, truth, and hsc if HSC images are wanted
    """
    config = {name: config[name] for name in TILE_KEYS if name in config} | {"seed": seed}
    cameras = {"images": IMAGE_CAMERAS[default(config, "image_camera")]}
    cameras |= {"hsc": HSC_CAMERAS[default(config, "hsc_size")]} if "hsc" in outputs else {}
    conditions = default(config, "image_depth"), default(config, "image_seeing")
    cameras = {role: camera.on(*conditions) for role, camera in cameras.items()}
    # one thread: the sums inside a matrix product must not depend on how many cores there are
    with threadpool_limits(1), ExitStack() as files:
        grid = load_grid(grid_path, rest_range(TARGETS[program]))
        # redshifts are searched for beyond those of the program: the fitter's templates need all wavelengths
        models = Templates.of(grid), Fitter.of(load_grid(grid_path))
        tile = plan(hpix, program, config, grid)
        header = healpix_header(hpix, SURVEY, program)
        total = len(tile.spectroscopy) + targets.sky_fibres(len(tile.spectroscopy))
        coadd = files.enter_context(coadd_writer(outputs["coadd"], total, header, default(config, "resolution")))
        images = files.enter_context(legacy.writer(outputs["images"], len(tile.imaging)))
        hsc = files.enter_context(galaxiesml.writer(outputs["hsc"], cameras["hsc"].size)) if "hsc" in outputs else None
        fibermap, fits, measured = _observe(
            tile, config, models, instrument.load_sky(sky_path), cameras, LEGACY.on(*conditions), coadd, images, hsc
        )
        write_redrock(outputs["redrock"], fits, fibermap, header)
        write_truth(outputs["truth"], tile, config, rows.truth(tile, measured, tile.stream(PROPERTIES)))
    log.info("%s tile %d: %d galaxies, %d spectra", program, hpix, len(tile.population), len(fibermap))


def plan(hpix: int, program: str, config: Mapping, grid: SSPGrid) -> Tile:
    """Draw the galaxies of a tile and decide which catalogue sees which."""

    def stream(name, *more):
        return _stream(config["seed"], hpix, program, name, *more)

    population = _draw(hpix, program, config, grid, stream)
    population, places = environment.settle(population, hpix, program, stream(PLACES), config)
    ra, dec = places.ra, places.dec
    imaging, spectroscopy = sky.catalog_scatter(ra, dec, hpix, program, stream(CATALOGUES), config)
    rng = stream(FIBRES)
    exposure = default(config, "exposure") or instrument.EXPOSURES[program]
    exposure *= np.exp(EXPOSURE_SCATTER * rng.standard_normal())
    status = targets.fibre_status(len(spectroscopy), rng)
    wrong = anomalies.none(len(population))
    if rate := default(config, "anomaly_rate"):
        imaged, observed = (np.isin(np.arange(len(ra)), s) for s in (imaging.source, spectroscopy.source[status == 0]))
        wrong = anomalies.draw(population, imaged, observed, rate, stream(ANOMALIES))
        population = anomalies.with_quasars(population, wrong, grid, stream(NUCLEI))
    return Tile(
        hpix=hpix,
        program=program,
        seed=config["seed"],
        population=population,
        environment=places,
        anomalies=wrong,
        ebv=sky.galactic_ebv(ra, dec, config["seed"]),
        exposure=exposure,
        imaging=imaging,
        second_imaging=sky.second_imaging(ra, dec, hpix, program, stream(SECOND), config),
        spectroscopy=spectroscopy,
        status=status,
    )


def _draw(hpix, program, config, grid, stream: Callable) -> Population:
    """The galaxies of all kinds that the program targets; at least one."""
    wanted = config["targets_per_tile"]
    counts = {kind: sky.expected_count(hpix, wanted.get(kind, 0), config) for kind in TARGETS[program]}
    if not any(counts.values()):
        counts[max(counts, key=lambda kind: wanted.get(kind, 0))] = 1
    return join([draw(n, stream(POPULATION, i), config, grid, kind) for i, (kind, n) in enumerate(counts.items()) if n])


def _stream(seed: int, hpix: int, program: str, *name: int) -> np.random.Generator:
    key = (name[0], list(TARGETS).index(program), *name[1:])
    return np.random.default_rng(np.random.SeedSequence([seed, hpix], spawn_key=key))


def _observe(tile: Tile, config, models, night, cameras, fibres, coadd: CoaddWriter, images: legacy.Writer, hsc):
    """Write spectra and images block by block.

    Returns FIBERMAP and redshift fits of all spectra, and what is measured of each galaxy (rows.measured) in one.
    """
    templates, fitter = models
    # where galaxies end is asked of the camera on a usual night
    usual = IMAGE_CAMERAS[default(config, "image_camera")]
    beside = Beside.of(tile, config, usual, lambda number: tile.stream(BLOCKS + number, blocks.SCENE), blocks.SIZE)
    company = Company.of(tile, config, templates.grid, beside.provided, tile.stream(COMPANY))
    fibermaps, fits, measured = [], [], []
    for number, start in enumerate(range(0, len(tile.population), blocks.SIZE)):
        part = slice(start, min(start + blocks.SIZE, len(tile.population)))

        def stream(purpose, number=number):
            return tile.stream(BLOCKS + number, purpose)

        block = blocks.observe(tile, part, beside, company, templates, night, cameras, fibres, config, stream)
        known = rows.measured(block)
        spectra = _among(tile.spectroscopy.source, part)
        local = {name: values[tile.spectroscopy.source[spectra] - start] for name, values in known.items()}
        fibermaps.append(targets.fibermap(tile, spectra, local, stream(blocks.CATALOGUE)))
        fits.append(_append_spectra(coadd, fitter, fibermaps[-1], block.observation))
        known |= rows.redshifts(tile, part, spectra, fits[-1])
        listed = _among(tile.imaging.source, part)
        images.append(
            block.images["images"][tile.imaging.source[listed] - start], rows.cutouts(tile, listed, start, known)
        )
        if hsc is not None:
            listed = _among(tile.second_imaging.source, part)
            pictures = block.images["hsc"][tile.second_imaging.source[listed] - start]
            random = stream(blocks.HSC_CATALOGUE), stream(blocks.COMPILATION)
            columns = rows.hsc(tile, listed, start, block.seen["hsc"], *random)
            hsc.append(pictures * np.float32(galaxiesml.COUNTS_PER_NANOMAGGY), columns)
        measured.append(known)
    fibermaps.append(targets.sky_fibermap(tile, fibermaps[0], tile.stream(SKY_FIBRES)))
    blank = np.zeros((len(fibermaps[-1]), len(OBSERVED)), "f4")
    observation = instrument.observe(blank, np.ones(len(blank)), tile.exposure, night, tile.stream(SKY_FIBRES, 1))
    fits.append(_append_spectra(coadd, fitter, fibermaps[-1], observation))
    joined = {name: np.concatenate([m[name] for m in measured]) for name in measured[0]}
    return vstack(fibermaps, "exact"), vstack(fits, "exact"), joined


def _among(source: np.ndarray, part: slice) -> slice:
    """The rows of a catalogue, which is in the order of the galaxies, that belong to some of these."""
    return slice(*map(int, np.searchsorted(source, [part.start, part.stop])))


def _append_spectra(file: CoaddWriter, fitter: Fitter, fibermap: Table, observation) -> Table:
    """Write spectra and return the fit of their redshifts, with TARGETID."""
    shape = {arm: (len(fibermap), *instrument.resolution(arm).shape) for arm in ARMS}
    coadd = Coadd(
        fibermap=fibermap,
        wavelength={arm: arm_wavelength(arm) for arm in ARMS},
        flux=observation.flux,
        ivar=observation.ivar,
        mask=observation.mask,
        resolution={arm: np.broadcast_to(instrument.resolution(arm), shape[arm]) for arm in ARMS},
    )
    file.append(coadd)
    fits = fitter.fit(*combine_arms(coadd))
    fits["TARGETID"] = np.asarray(fibermap["TARGETID"])
    return fits
