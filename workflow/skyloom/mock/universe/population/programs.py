"""Which galaxies a survey would have targeted: the cuts of DESI's programs, and a magnitude limit for "all".

Magnitudes are AB, corrected for the Milky Way's extinction. Fibre magnitudes come from `fibre_share`.
"""

from collections.abc import Mapping

import numpy as np

from skyloom.mock.universe.population import dust_layer

Z_RANGES = {"bgs": (0.005, 0.6), "lrg": (0.3, 1.2), "elg": (0.5, 1.7), "qso": (0.3, 4.1), "all": (0.01, 3.0)}
BRIGHT_LIMIT, FAINT_LIMIT = 19.5, 20.175  # r of BGS Bright and Faint
I_LIMIT = 24.1  # LSST i for "all" if the configuration names none

# Redshifts, and log10 stellar masses below which fewer than about one galaxy in 70 is accepted (at r < 19.5 for "bgs",
# i < 24.1 for "all"): candidates are drawn above them, which test_population_programs.py measures.
LIGHTEST = {
    "bgs": (
        (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6),
        (6.0, 7.2, 7.9, 8.6, 9.1, 9.3, 9.6, 10.2, 10.7, 11.0),
    ),
    "all": (
        (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0),
        (6.0, 6.2, 6.6, 7.2, 7.7, 8.1, 8.4, 8.7, 8.9, 9.1, 9.3, 9.4, 9.6),
    ),
    "lrg": ((0.3, 0.4, 0.6, 0.9, 1.2), (10.4, 10.6, 10.7, 10.8, 11.0)),
    "elg": ((0.5, 0.8, 1.2, 1.7), (9.0, 9.1, 9.3, 9.7)),
}


def lightest(target: str, z: np.ndarray, limit: float | None) -> np.ndarray:
    """log10 mass (Msun) of the lightest galaxies at `z` worth a candidate; `limit` is that of magnitude_limit."""
    reference = {"bgs": BRIGHT_LIMIT, "all": I_LIMIT}.get(target)
    return np.interp(z, *LIGHTEST[target]) - (0.4 * (limit - reference) if reference else 0.0)


def magnitude_limit(target: str, config: Mapping) -> float | None:
    """The limit in r ("bgs") or LSST i ("all"); None for targets whose cuts are their own."""
    default = {"bgs": FAINT_LIMIT, "all": I_LIMIT}.get(target)
    return config.get("magnitude_limit", default) if default else None


def redshift_range(target: str, config: Mapping) -> tuple[float, float]:
    """Redshifts of a target; `redshift_max` of the configuration ends that of "all"."""
    low, high = Z_RANGES[target]
    return (low, config.get("redshift_max", high)) if target == "all" else (low, high)


def accepted(population, config: Mapping) -> np.ndarray:
    """Whether each galaxy passes the selection of its `target`, (n,) bool; only the first row's target is looked at."""
    if not len(population):
        return np.zeros(0, bool)
    return _SELECTIONS[str(population.target[0])](population, config)


def fibre_share(galaxies) -> np.ndarray:
    """Share (n,) of a galaxy's r light within a 1.5 arcsec fibre under 1 arcsec seeing, to 16 % (rms against images).

    Curves of growth of the components, their radii widened by the seeing; for selection, before images exist.
    """

    def widened(radius, ratio):
        return 0.75 / np.hypot(radius * np.sqrt(ratio), 0.5)

    def disc_within(radius, ratio):
        x = 1.678 * widened(radius, ratio)
        return 1 - (1 + x) * np.exp(-x)

    hidden = galaxies.dust_layer[:, 1]
    layer = disc_within(galaxies.r_disk * dust_layer.scale(hidden), dust_layer.tilt(galaxies.q_disk)[0])
    disc = (disc_within(galaxies.r_disk, galaxies.q_disk) - hidden * layer) / (1 - hidden)
    bulge = 1 - 0.5 ** (widened(galaxies.r_bulge, galaxies.q_bulge) ** 0.9)
    share = galaxies.bulge_fraction[:, 1]
    return 0.86 * (share * bulge + (1 - share) * disc)


def _bgs(p, config):
    """BGS Bright, and Faint if the limit reaches it: Hahn et al. 2023, AJ 165, 253, section 3."""
    limit = magnitude_limit("bgs", config)
    r, fibre = p.mag_r, _fibre_magnitude(p, p.mag_r)
    usual = (np.abs(p.mag_g - r - 1.5) < 2.5) & (np.abs(r - p.mag_z - 1.5) < 2.5)
    bright = (r < min(limit, BRIGHT_LIMIT)) & (fibre < np.where(r < 17.8, 5.1 + r, 22.9))
    # fainter galaxies where a redshift is easy: bright in the fibre, or with the colours of strong lines
    colour = (p.mag_z - p.mag_w1) - 1.2 * (p.mag_g - r) + 1.2
    faint = (r >= BRIGHT_LIMIT) & (r < min(limit, FAINT_LIMIT)) & (fibre < np.where(colour < 0, 20.75, 21.5))
    return usual & (bright | faint)


def _lrg(p, config):
    """Luminous red galaxies: Zhou et al. 2023, AJ 165, 58, equation 1 (south)."""
    r_w1 = p.mag_r - p.mag_w1
    bright = _fibre_magnitude(p, p.mag_z) < 21.60
    not_star = p.mag_z - p.mag_w1 > 0.8 * (p.mag_r - p.mag_z) - 0.6
    beyond = (p.mag_g - p.mag_w1 > 2.9) | (r_w1 > 1.8)
    luminous = ((r_w1 > 1.8 * (p.mag_w1 - 17.14)) & (r_w1 > p.mag_w1 - 16.33)) | (r_w1 > 3.3)
    return bright & not_star & beyond & luminous


def _elg(p, config):
    """Emission-line galaxies, LOP and VLO: Raichoor et al. 2023, AJ 165, 126, table 2."""
    g_r, r_z = p.mag_g - p.mag_r, p.mag_r - p.mag_z
    bright = (p.mag_g > 20) & (_fibre_magnitude(p, p.mag_g) < 24.1)
    return bright & (r_z > 0.15) & (g_r < 0.5 * r_z + 0.1) & (g_r < -1.2 * r_z + 1.6)


def _qso(p, config):
    """Quasars: Chaussidon et al. 2023, ApJ 944, 107: 16.5 < r < 23, W1 < 22.3, brighter than stars in the infrared.

    Their random forest on ten colours is stood in for by its main axis, the excess of W1 and W2 over g, r, z; that the
    image is not resolved, by a nucleus brighter than its host.
    """
    infrared = 0.75 * p.mag_w1 + 0.25 * p.mag_w2
    optical = (p.mag_g + 0.8 * p.mag_r + 0.5 * p.mag_z) / 2.3
    share = 1 - 10 ** (-0.4 * (p.mag_host - p.mag_r))
    return (
        (p.agn_type == 2)
        & (share > 0.5)
        & ((p.mag_r > 16.5) & (p.mag_r < 23.0) & (p.mag_w1 < 22.3))
        & (optical - infrared > -1.0)
    )


def _all(p, config):
    low, high = redshift_range("all", config)
    return (p.mag_i < magnitude_limit("all", config)) & (p.redshift >= low) & (p.redshift < high)


def _fibre_magnitude(p, magnitude):
    return magnitude - 2.5 * np.log10(fibre_share(p))


_SELECTIONS = {"bgs": _bgs, "lrg": _lrg, "elg": _elg, "qso": _qso, "all": _all}
