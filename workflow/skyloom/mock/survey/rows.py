"""Rows of a tile's catalogues: what is measured of its galaxies, under the names of each archive."""

import numpy as np
from astropy.table import Table

from skyloom.mock.instruments.images.images import IMAGE_FIELDS
from skyloom.mock.survey import measure, posterior
from skyloom.mock.universe.population.morphology import half_light_radius

# The compilation of redshifts that comes with HSC images: errors of 1+z, and shares.
SPECZ_ERROR = 1e-4
SPECZ_COARSE, SPECZ_COARSE_ERROR = 0.1, 3e-3  # out of prisms and grisms
SPECZ_WRONG = 0.03  # one line taken for another
SPECZ_LINES = np.array([1215.7, 2799.1, 3728.5, 5008.2, 6564.6])  # Lyman alpha, Mg II, [O II], [O III], H alpha
SPECZ_BELOW = 4.0  # of wrong ones: GalaxiesML is cut there


def measured(block) -> dict[str, np.ndarray]:
    """What is kept of the galaxies of a block (blocks.Block), a row each: fluxes (n, 3) in nanomaggy and conditions."""
    seen = block.seen["images"]
    names = ("flux", "flux_ivar", "fibreflux", "psfsize", "psfdepth", "artefacts")
    names += ("fibre_fraction", "fibre_fractions")
    return {
        **{name: seen[name] for name in names},
        **{f"flux_{band}": flux for band, flux in block.true_flux.items()},
        "nucleus_share": block.nucleus_share,
        **({"artefacts_hsc": block.seen["hsc"]["artefacts"]} if "hsc" in block.seen else {}),
    }


def redshifts(tile, part: slice, spectra: slice, fits: Table) -> dict[str, np.ndarray]:
    """TARGETID (0: no spectrum) and z_spec (NaN: no confident redshift) of the galaxies of a block."""
    source = tile.spectroscopy.source[spectra] - part.start
    targetid, z_spec = np.zeros(part.stop - part.start, "i8"), np.full(part.stop - part.start, np.nan)
    targetid[source] = fits["TARGETID"]
    good = np.asarray(fits["ZWARN"]) == 0
    z_spec[source[good]] = fits["Z"][good]
    return {"targetid": targetid, "z_spec": z_spec}


def cutouts(tile, listed: slice, start: int, known: dict) -> dict[str, np.ndarray]:
    """Columns of legacy.COLUMNS for rows `listed` of the imaging catalogue; `known` begins with galaxy `start`."""
    catalogue, source = tile.imaging[listed], tile.imaging.source[listed]
    return {
        "ra": catalogue.ra,
        "dec": catalogue.dec,
        "release": catalogue.release,
        "brickid": catalogue.brickid,
        "objid": catalogue.objid,
        "inds": np.arange(listed.start, listed.stop),
        "ebv": tile.ebv[source],
        "z_spec": known["z_spec"][source - start],
        "flux": known["flux"][source - start],
        "fiberflux": known["fibreflux"][source - start],
        "psfsize": known["psfsize"][source - start],
        "psfdepth": known["psfdepth"][source - start],
    }


def hsc(
    tile, listed: slice, start: int, seen: dict, rng: np.random.Generator, compiled: np.random.Generator
) -> dict[str, np.ndarray]:
    """Columns of galaxiesml.COLUMNS for rows `listed` of the second imaging catalogue.

    The redshift is that of a compilation of other surveys, with its errors and failures (`compilation`), for which
    `compiled` is. `seen` begins with galaxy `start`.
    """
    catalogue, source = tile.second_imaging[listed], tile.second_imaging.source[listed]
    n, galaxies = len(source), tile.population[source]
    shape = {name: getattr(galaxies, name) for name in IMAGE_FIELDS}
    names = ("flux", "flux_ivar", "psfsize", "close")
    columns = measure.hsc_columns(
        {name: seen[name][source - start] for name in names}, shape, half_light_radius(shape), rng
    )
    redshift, error = compilation(galaxies.redshift, rng.standard_normal(n), compiled)
    return {
        "object_id": (np.int64(tile.number) << 24) | np.arange(listed.start, listed.stop),
        "ra": catalogue.ra,
        "dec": catalogue.dec,
        "skymap_id": np.full(n, tile.hpix),
        "specz_redshift": redshift,
        "specz_redshift_err": error,
        "specz_flag_homogeneous": np.ones(n, bool),
        "specz_mag_i": columns["i_cmodel_mag"],
        "specz_ra": catalogue.ra,
        "specz_dec": catalogue.dec,
        **columns,
    }


def compilation(redshift: np.ndarray, scatter: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Redshifts (n,) as surveys of all kinds measured them, and the errors that they state.

    SPECZ_COARSE of them come from coarse spectra. SPECZ_WRONG take one of SPECZ_LINES for another, any two for which
    the redshift comes out positive and below SPECZ_BELOW; the stated errors know nothing of that.

    Parameters
    ----------
    redshift : true ones
    scatter : normal deviates, by which redshifts are off in units of their errors
    """
    coarse, wrong, which = rng.random((3, len(redshift)))
    first, second = np.nonzero(~np.eye(len(SPECZ_LINES), dtype=bool))
    other = (1 + redshift)[:, None] * SPECZ_LINES[first] / SPECZ_LINES[second] - 1
    possible = (other > 0) & (other < SPECZ_BELOW)
    chosen = np.argmax(np.cumsum(possible, axis=1) > (which * possible.sum(axis=1))[:, None], axis=1)
    taken = np.where(wrong < SPECZ_WRONG, np.take_along_axis(other, chosen[:, None], axis=1)[:, 0], redshift)
    error = np.where(coarse < SPECZ_COARSE, SPECZ_COARSE_ERROR, SPECZ_ERROR) * (1 + taken)
    return taken + error * scatter, error


def truth(tile, known: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What the truth table holds beyond the population: one row a galaxy, TARGETID 0 for those without a spectrum."""
    places = tile.environment
    names = ("targetid", "fibre_fraction", "fibre_fractions", "nucleus_share", "artefacts", "artefacts_hsc")
    return {
        **{name: known[name] for name in (*names, *(f"flux_{band}" for band in "grizy")) if name in known},
        "ra": tile.ra,
        "dec": tile.dec,
        "ebv": tile.ebv,
        "anomaly": tile.anomalies.kind,
        "group": places.group,
        "velocity": places.velocity,
        **{axis: places.place[:, i] for i, axis in enumerate("xyz")},
        **{f"neighbours_{radius}mpc": places.neighbours[:, i] for i, radius in enumerate((1, 2, 5))},
        "border": places.border,
        **posterior.properties(tile.population, rng),
    }
