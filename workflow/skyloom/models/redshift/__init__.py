"""A network for which a redshift is a shift: class and redshift of a spectrum, as a posterior over ln(1+z)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, refuse, setting
from skyloom.settings.survey import Grid, check_grid

CLASSES = ("GALAXY", "QSO")
"""What a spectrum can be; a star, of which the mock has none, is known by its misfit."""

CLOSE = 0.003
"""Difference in dz / (1 + z) up to which two redshifts are the same."""

FLAGS = {"unsure": 1, "fits_elsewhere": 2, "misfit": 4, "few_pixels": 8, "edge": 16}
"""Why a redshift should be doubted: the bits of column `flag`; 0 is a redshift to use.

unsure: the posterior has less than `accept` at this redshift; fits_elsewhere: another redshift fits clearly better;
misfit: the spectrum is unlike those of training (a star, an artefact, a wrong inverse variance); few_pixels: most of
the range has no data; edge: at the end of what is searched
"""


class Augment(Section):
    """What a spectrum meets in training besides what the survey did to it."""

    noise: float = setting(1.0, ge=0)
    "more noise, up to this many times its own"
    shift: float = setting(0.06, ge=0)
    "moved to another redshift, by at most this much in ln(1 + z)"
    masked: float = setting(0.05, ge=0, lt=1)
    "share of the bins hidden in blocks"
    cropped: float = setting(0.2, ge=0, le=1)
    "share of spectra of which a part of the range is hidden"
    smoothed: float = setting(0.15, ge=0, le=1)
    "share of spectra that are smoothed"
    blank: float = setting(0.05, ge=0, lt=1)
    "share of spectra replaced by noise, of which any redshift is as good as any other"
    calibration: float = setting(0.1, ge=0)
    "scatter of a smooth wrong calibration, and of the inverse variance"
    arms: list[Annotated[float, Field(gt=0)]] = setting([5800.0, 7643.0])
    "Angstrom, where a spectrograph's arms meet and the calibration has small steps; those beyond the grid do not count"


class Config(Section):
    """Grid, templates and layers."""

    grid: Grid = setting(Grid())
    "of the survey's spectra"
    velocity: float = setting(125.0, gt=0)
    "km/s, width of a bin and step of the posterior"
    galaxy_redshifts: tuple[float, float] = setting((-0.003, 2.0))
    "range in which galaxies are looked for"
    quasar_redshifts: tuple[float, float] = setting((0.02, 4.3))
    "range in which quasars are looked for"
    continuum: float = setting(18_900.0, gt=0)
    "km/s, width of the running mean that is taken off"
    broad: float = setting(112_600.0, gt=0)
    "km/s, width of the running mean that the continuum itself is compared with"
    width: int = setting(9, ge=1)
    "bins that a convolution sees"
    channels: int = setting(24, ge=1)
    "of the convolutions"
    features: int = setting(16, ge=1)
    "compared with the templates"
    dim: int = setting(20, ge=1)
    "rest-frame components in the embedding"
    code: int = setting(11, ge=1, le=24)
    "periods of ln(1 + z) in the embedding, a sine and a cosine each; every second period is half as long"
    refine: bool = setting(True)
    "fit templates around the peaks; without it ten times as fast, redshifts to a bin, no chi2, fewer flags"
    accept: float = setting(0.7, ge=0, le=1)
    "least probability of a redshift without flag"
    delta_chi2: float = setting(25.0, ge=0)
    "another redshift that fits better by more than this raises a flag"
    least_good: float = setting(0.2, ge=0, le=1)
    "least share of bins with data"
    learn_from: Literal["truth", "catalogue"] = setting("truth")
    "redshift and class that were put in, of a simulated survey, or those of the catalogue"
    fit_samples: int = setting(2000, ge=1)
    "training galaxies that the components are fitted to"
    basis: Annotated[int, Field(ge=1, le=30)] = setting(10)
    "components of the fit of each class that refines a redshift"
    augment: Augment = setting(Augment())
    "of the spectra in training"

    @model_validator(mode="after")
    def _odd(self):
        if self.width % 2 == 0:
            raise refuse("width", f"{self.width} is even; expected an odd number of bins")
        return self


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.redshift.network:RedshiftNet",
    objective="skyloom.models.redshift.objective:Objective",
    modalities=("spectrum",),
    training={"batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.01, "clip": 1.0},
    queries=lambda model: ("redshift",),
    gives_redshift=True,
    check=check_grid,
)
