"""The truth of n galaxies, the same whatever population they were drawn from."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass
class Population:
    """Truth of n galaxies. All arrays have n rows.

    Attributes
    ----------
    target : '<U3', "bgs", "lrg", "elg", "qso" or "all": the selection that let the galaxy in
    redshift
    log_mhalo, log_mstar : log10 Msun; stellar mass in living stars and remnants
    quenched : bool, drawn from the quenched sequence
    sfh : (n, A) Msun formed in each age bin of the SSP grid
    log_z, log_z_gas : log10 Z/Z_sun of stars, and of the gas that makes the nebulae
    av, dust_slope : V-band attenuation (mag) of all stars, tilt of its curve; av_birth: more of it for stars < 10 Myr
    log_u : log10 ionisation parameter
    sigma_v, sigma_gas : km/s
    bulge_fraction : (n, 3) in g, r, z;  r_disk, r_bulge: arcsec;  q_disk, q_bulge: axis ratios
    dust_layer : (n, 3) share of the disc's light in g, r, z that a layer of dust in its middle hides
    angle, angle_bulge : rad, N to E, of disc and bulge; up to 2 pi: a disc's near side is to its left, seen along angle
    bar_fraction : share of the disc's light, 0 for none;  r_bar: arcsec (half-light), q_bar, angle_bar: as seen
    clumpiness : 0..1;  arms: 0..1, share of the clumps' light that lies in spiral arms
    l_agn : bolometric luminosity of the nucleus, Lsun, 0 for none
    agn_type : i1, 0 none, 1 narrow lines only, 2 broad lines and continuum
    agn_slope : alpha of f_lambda ~ lambda^alpha;  agn_width: FWHM of the broad lines, km/s
    agn_lines : dex by which the broad lines are stronger than usual;  agn_hardness: 0 (LINER) to 1 (Seyfert)
    agn_ebv : mag, of SMC dust before the nucleus;  igm_seed: i8, of the Lyman-alpha forest in front
    z_mw : mass-weighted metallicity, mass fraction;  t_age_mw: Gyr;  avg_sfr: Msun/yr, mean of the last Gyr
    mag_g, mag_r, mag_z, mag_i, mag_w1, mag_w2 : AB in DECam g, r, z, LSST i, WISE W1, W2 without Milky Way extinction,
        from the fast photometry that selected the galaxy;  mag_host: r of the host without a broad-line nucleus
    """

    target: np.ndarray
    redshift: np.ndarray
    log_mhalo: np.ndarray
    log_mstar: np.ndarray
    quenched: np.ndarray
    sfh: np.ndarray
    log_z: np.ndarray
    log_z_gas: np.ndarray
    av: np.ndarray
    dust_slope: np.ndarray
    av_birth: np.ndarray
    log_u: np.ndarray
    sigma_v: np.ndarray
    sigma_gas: np.ndarray
    bulge_fraction: np.ndarray
    r_disk: np.ndarray
    r_bulge: np.ndarray
    q_disk: np.ndarray
    q_bulge: np.ndarray
    dust_layer: np.ndarray
    angle: np.ndarray
    angle_bulge: np.ndarray
    bar_fraction: np.ndarray
    r_bar: np.ndarray
    q_bar: np.ndarray
    angle_bar: np.ndarray
    clumpiness: np.ndarray
    arms: np.ndarray
    l_agn: np.ndarray
    agn_type: np.ndarray
    agn_slope: np.ndarray
    agn_width: np.ndarray
    agn_lines: np.ndarray
    agn_hardness: np.ndarray
    agn_ebv: np.ndarray
    igm_seed: np.ndarray
    z_mw: np.ndarray
    t_age_mw: np.ndarray
    avg_sfr: np.ndarray
    mag_g: np.ndarray
    mag_r: np.ndarray
    mag_z: np.ndarray
    mag_i: np.ndarray
    mag_w1: np.ndarray
    mag_w2: np.ndarray
    mag_host: np.ndarray

    def __len__(self) -> int:
        return len(self.redshift)

    def __getitem__(self, rows) -> "Population":
        return Population(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def join(parts: list[Population]) -> Population:
    """Populations one after the other."""
    names = [f.name for f in fields(Population)]
    return Population(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
