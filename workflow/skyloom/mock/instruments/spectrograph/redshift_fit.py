"""Redshifts of spectra by fitting templates, in the manner of redrock, with numpy alone.

At each redshift of a logarithmic grid the templates' best sum is found by weighted least squares. Spectra and templates
are sampled evenly in ln(wavelength), where a redshift is a shift: the normal equations at all redshifts at once,
A_jk(z) = sum_i w_i T_j T_k and b_j(z) = sum_i w_i d_i T_j, are correlations, done by FFT (Glazebrook, Offer & Deeley
1998, ApJ 492, 98). The best minima are then followed at full resolution by Gauss-Newton steps in redshift and
coefficients together, whose curvature gives the error. Coefficients have a wide Gaussian prior, so that faint spectra
are not fitted by sums that no galaxy is near to. The table has redrock's columns and warning bits.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.sparse
from astropy.table import Table

from skyloom.formats.desi import STEP, WAVELENGTH
from skyloom.mock.instruments.spectrograph.redshift_templates import LYMAN_ALPHA, TemplateSet, template_sets
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.light.wavelengths import C_KM_S

NCOEFF = 10  # length of COEFF in redrock's table
COLUMNS = {
    **{"Z": "f8", "ZERR": "f8", "ZWARN": "i8", "CHI2": "f8", "COEFF": "f8", "NPIXELS": "i8"},
    **{"SPECTYPE": "S6", "SUBTYPE": "S20", "NCOEFF": "i8", "DELTACHI2": "f8"},
}
MINIMA = 3  # of each template set that are kept
SEPARATION = 1000.0  # km/s: nearer solutions are one (redrock's max_velo_diff)
CANDIDATES = 60  # minima of a scan that are looked at
CLEAR = 60.0  # chi2 of a scan above the best of its kind: what lies beyond is not followed
COARSE = 0.01  # of the chi2 that the best templates explain: kinds whose scan is worse by more are not followed
STEPS = 3  # Gauss-Newton steps
CONVERGED = 0.01  # chi2 that a last step may still gain
RIDGE = 1e-6  # of a template's largest weight: holds it at 0 at redshifts that put it out of sight
FLOOR = 1e-7  # of the largest template's weight, the same at full resolution
FREEDOM = 3.0  # width of the prior of coefficients, in their spread over the sample the templates come from
SMALL = 9.0  # DELTACHI2 below which a redshift is not trusted
SMALL_DELTA_CHI2, Z_FITLIMIT, NODATA, BAD_MINFIT = 1 << 2, 1 << 5, 1 << 9, 1 << 10  # bits of redrock.zwarning

_LOG_WAVELENGTH = np.log(WAVELENGTH)


@dataclass(frozen=True)
class Solution:
    """A minimum of chi2: redshift, its error, and the templates' coefficients (k,)."""

    templates: TemplateSet
    z: float
    error: float
    chi2: float
    coefficients: np.ndarray


class Fitter:
    """Fits redshifts with some sets of templates."""

    def __init__(self, sets: list[TemplateSet]):
        self.scans = [Scan(templates) for templates in sets]

    @classmethod
    def of(cls, grid: SSPGrid) -> "Fitter":
        """A fitter with the templates that the mock's own models give, in about a second.

        `grid` should be loaded at all wavelengths, else redshifts end where it does (redshift_templates).
        """
        return cls(template_sets(grid))

    def fit(self, flux: np.ndarray, ivar: np.ndarray) -> Table:
        """Redshifts of N spectra.

        Parameters
        ----------
        flux, ivar : (N, 7781) on desi.WAVELENGTH; pixels that are not finite or have no ivar count for nothing

        Returns
        -------
        Table
            N rows: Z, ZERR, ZWARN, SPECTYPE, SUBTYPE, CHI2 (with the prior's), DELTACHI2, COEFF (N, 10), NPIXELS,
            NCOEFF. Where no pixel counts ZWARN is NODATA and the rest 0 or empty.
        """
        good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
        rows = [
            self._fit_one(np.where(mask, d, 0).astype("f4"), np.where(mask, w, 0).astype("f4"))
            for d, w, mask in zip(flux, ivar, good, strict=True)
        ]
        return Table({name: np.array([row[name] for row in rows], dtype) for name, dtype in COLUMNS.items()})

    def _fit_one(self, flux, ivar):
        npixels = np.count_nonzero(ivar)
        if npixels == 0:
            return self._row([], 0)
        minima: dict[str, list] = {}
        for scan in self.scans:
            minima.setdefault(scan.templates.spectype, []).extend(scan.minima(ivar, ivar * flux))
        kinds = sorted(filter(None, map(_apart, minima.values())), key=lambda kind: kind[0][:2])
        if not kinds:  # values beyond the range of float32
            return self._row([], 0)
        deepest = kinds[0][0][0]
        found: list[Solution] = []
        ceiling = np.inf
        for kind in kinds:
            # a coarse scan may lose a percent of what templates explain
            hopeless = kind[0][0] > deepest + CLEAR - COARSE * deepest
            for chi2, shift, templates in kind:
                if hopeless or chi2 > kind[0][0] + CLEAR:
                    near = found[0].chi2 + chi2 - deepest
                    found.append(Solution(templates, np.expm1(shift), np.inf, near, np.zeros(len(templates.basis))))
                else:
                    found.append(refine(templates, shift, flux, ivar, ceiling))
                    ceiling = min(ceiling, found[-1].chi2 + CLEAR)
        return self._row(sorted(found, key=lambda s: s.chi2), npixels)

    def _row(self, solutions: list[Solution], npixels: int) -> dict:
        row = {"Z": 0.0, "ZERR": 0.0, "ZWARN": NODATA, "CHI2": 0.0, "DELTACHI2": 0.0, "COEFF": np.zeros(NCOEFF)}
        row |= {"NPIXELS": npixels, "SPECTYPE": "", "SUBTYPE": "", "NCOEFF": 0}
        if not solutions:
            return row
        best = solutions[0]
        other = [s.chi2 for s in solutions[1:] if abs(s.z - best.z) / (1 + best.z) > SEPARATION / C_KM_S]
        row["DELTACHI2"] = min(other, default=2 * best.chi2) - best.chi2
        low, high = best.templates.z_range
        row["ZWARN"] = (
            SMALL_DELTA_CHI2 * (row["DELTACHI2"] < SMALL)
            | Z_FITLIMIT * (not low < best.z < high)
            | BAD_MINFIT * (not np.isfinite(best.error))
        )
        row["COEFF"][: len(best.coefficients)] = best.coefficients
        row |= {"Z": best.z, "ZERR": best.error, "CHI2": best.chi2, "NCOEFF": len(best.coefficients)}
        return row | {"SPECTYPE": best.templates.spectype, "SUBTYPE": best.templates.subtype}


class Scan:
    """chi2 of one template set against redshift, for spectra rebinned evenly in ln(wavelength)."""

    def __init__(self, templates: TemplateSet):
        self.templates = templates
        step = templates.step
        low, high = np.log1p(templates.z_range)
        self.log_shift = low + step * np.arange(int((high - low) / step) + 1)
        start = np.log(WAVELENGTH[0] - STEP / 2)
        self.rebin = rebinning(start, step)
        # lag n of a correlation is the n-th redshift from the end
        bins = self.rebin.shape[0] + len(self.log_shift) - 1
        basis = templates.binned(start - self.log_shift[-1], step, bins)
        self.length = scipy.fft.next_fast_len(bins, real=True)
        self.pairs = np.tril_indices(len(basis))
        blue = start - self.log_shift[-1] + step * (np.arange(bins) + 0.5) < np.log(LYMAN_ALPHA)
        # on each side of Ly-alpha: what the forest leaves of the light, transforms of templates and of their products
        sides = [(1.0, blue | True)] if templates.forest is None else [(1.0, ~blue), (templates.forest, blue)]
        self.parts = [(through, *self._transforms(np.where(side, basis, 0))) for through, side in sides]

    def _transforms(self, basis):
        products = basis[self.pairs[0]] * basis[self.pairs[1]]
        return scipy.fft.rfft(basis, self.length, axis=1), scipy.fft.rfft(products, self.length, axis=1)

    def chi2(self, weight: np.ndarray, weighted: np.ndarray) -> np.ndarray:
        """chi2 (Z,) less that of no model, from the ivar and ivar * flux (7781,) of a spectrum."""
        k = self.parts[0][1].shape[0]
        normal = np.zeros((k + 1, k + 1, len(self.log_shift)))
        for through, basis, products in self.parts:
            normal[self.pairs] += self._correlate(weight * through**2, products)
            normal[k, :k] += self._correlate(weighted * through, basis)
        diagonal = np.arange(k)
        normal[diagonal, diagonal] += RIDGE * normal[diagonal, diagonal].max(axis=1, keepdims=True)
        normal[diagonal, diagonal] += prior(self.templates, weight, weighted)[:, None]
        # elimination at all redshifts together; the last row ends as what the templates cannot fit
        for j in range(k):
            for i in range(j + 1, k + 1):
                normal[i, j + 1 : i + 1] -= normal[j + 1 : i + 1, j] * (normal[i, j] / normal[j, j])
        return normal[k, k]

    def _correlate(self, values, transforms):
        spectrum = np.conj(scipy.fft.rfft(self.rebin @ values, self.length))
        return scipy.fft.irfft(transforms * spectrum, self.length, axis=1)[:, len(self.log_shift) - 1 :: -1]

    def minima(self, weight: np.ndarray, weighted: np.ndarray) -> list[tuple[float, float, TemplateSet]]:
        """The deepest minima as (chi2, ln(1+z), templates), best first."""
        chi2 = self.chi2(weight, weighted)
        padded = np.pad(chi2, 1, constant_values=np.inf)
        places = np.flatnonzero((chi2 <= padded[:-2]) & (chi2 <= padded[2:]))
        places = places[np.argsort(chi2[places], kind="stable")[:CANDIDATES]]
        return [(float(chi2[i]), float(self.log_shift[i]), self.templates) for i in places]


def _apart(minima):
    """The deepest of `minima` that are SEPARATION apart, best first."""
    kept = []
    for minimum in sorted(minima, key=lambda m: m[:2]):
        if all(abs(minimum[1] - other[1]) > SEPARATION / C_KM_S for other in kept):
            kept.append(minimum)
            if len(kept) == MINIMA:
                break
    return kept


def rebinning(start: float, step: float) -> scipy.sparse.csr_matrix:
    """Matrix (bins, 7781) that sums over bins of `step` in ln(wavelength); a pixel on an edge is shared."""
    edges = (np.log(np.append(WAVELENGTH - STEP / 2, WAVELENGTH[-1] + STEP / 2)) - start) / step
    first = np.floor(edges[:-1]).astype(int)
    # bins are wider than pixels: a pixel reaches into two at most
    beyond = np.clip((edges[1:] - first - 1) / np.diff(edges), 0, 1)
    pixel = np.arange(len(WAVELENGTH))
    rows, columns = np.concatenate([first, first + 1]), np.concatenate([pixel, pixel])
    values = np.concatenate([1 - beyond, beyond]).astype("f4")
    return scipy.sparse.csr_matrix((values, (rows, columns)), (int(edges[-1]) + 2, len(pixel)))


def prior(templates: TemplateSet, weight: np.ndarray, weighted: np.ndarray) -> np.ndarray:
    """Inverse variances (k,) that the coefficients have beforehand, for ivar and ivar * flux (7781,) of a spectrum."""
    total = weight.sum(dtype=float)
    level = max(weighted.sum(dtype=float) / total, 3 / np.sqrt(total))
    return 1 / np.square(FREEDOM * level * templates.spread)


def refine(
    templates: TemplateSet, log_shift: float, flux: np.ndarray, ivar: np.ndarray, ceiling: float = np.inf
) -> Solution:
    """Follow a minimum at full resolution, from ln(1+z) to where chi2 is least or cannot fall below `ceiling`."""
    root = np.sqrt(ivar)
    target = flux * root
    known = prior(templates, ivar, ivar * flux)
    shift = log_shift
    for _ in range(STEPS):
        position = (_LOG_WAVELENGTH - shift - np.log(templates.wavelength[0])) / templates.fine_step
        low = np.clip(position.astype(np.intp), 0, len(templates.wavelength) - 2)
        left = templates.by_pixel[low]
        design = left + (position - low).astype("f4")[:, None] * (templates.by_pixel[low + 1] - left)
        seen = root
        if templates.forest is not None:
            seen = np.where(_LOG_WAVELENGTH < shift + np.log(LYMAN_ALPHA), templates.forest, 1) * root
        design *= seen[:, None]
        normal = (design.T @ design).astype(float)
        inverse = np.linalg.inv(normal + np.diag(known + FLOOR * np.diag(normal).max()))
        coefficients = inverse @ (target @ design).astype(float)
        residual = target - design @ coefficients.astype("f4")
        # what a change of ln(1+z) does to the model, less what the coefficients can take up
        model = coefficients.astype("f4") @ templates.basis
        slope = (model[low] - model[low + 1]) * (seen / np.float32(templates.fine_step))
        cross = (slope @ design).astype(float)
        curvature = float(slope @ slope) - cross @ inverse @ cross
        chi2 = float(residual @ residual) + known @ coefficients**2
        if curvature <= 0:
            return Solution(templates, np.expm1(shift), np.inf, chi2, coefficients)
        step = float(np.clip((slope @ residual) / curvature, -templates.step, templates.step))
        shift += step
        gain = step * step * curvature
        if gain < CONVERGED or chi2 - gain > ceiling:
            break
    z = np.expm1(shift)
    return Solution(templates, z, (1 + z) / np.sqrt(curvature), chi2, coefficients)
