"""What heads on embeddings lose on galaxies of another domain than they learned from: R2 and calibration."""

from typing import Literal

from skyloom.analysis.common.head_settings import DensityHeadSettings
from skyloom.settings.analysis import Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting, with_defaults

PHOTOMETRY = "photometry"
"""What the baseline of magnitudes is called, as a model and as an input."""
BRIGHTNESS, REDSHIFT, SKY, SURVEY = "brightness", "redshift", "sky", "survey"
"""The shifts: halves by magnitude, by redshift, by pixels of the sky beside random halves, and two surveys."""
NSIDES = Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]


class Settings(with_defaults(DensityHeadSettings, components=3, learning_rate=6e-3, epochs=12)):
    """Keys of a domain shift. Everything is trained on as many galaxies as the smaller domain of a shift has."""

    embeddings: list[reference("embedding")] = setting([])
    "which, as MODEL-MODALITY; [] for all. Those that a survey has not are left out there"
    properties: list[reference("property")] = setting(["z", "log_mstar"], min_length=1)
    "columns of galaxies.parquet; one that a survey does not know is left out there; the first is drawn"
    photometry: list[str] = setting(["mag_g", "mag_r", "mag_z"])
    "magnitudes of the baseline, columns of galaxies.parquet; [] or a survey without them: no such baseline"
    shifts: list[Literal["brightness", "redshift", "sky", "survey"]] = setting(
        [BRIGHTNESS, REDSHIFT, SKY, SURVEY], min_length=1
    )
    "which; survey: between the survey on which a model is trained and another that it embeds"
    magnitude: str = setting("mag_r")
    "column whose median parts bright from faint; a survey without it: no such shift"
    nside: NSIDES = setting(128)
    "of the HEALPix pixels, whole ones of which are held out"
    k: int = setting(16, ge=1)
    "neighbours of the zero-shot estimate"
    weights: Literal["distance", "uniform"] = setting("distance")
    "of the neighbours"
    whitened: int = setting(16, ge=0)
    "leading principal components, whitened, that neighbours are near in; of PCA the leading columns; 0: all columns"
    galaxies: int = setting(5000, ge=100)
    "that train a head at most, and of each domain are tested at most; chosen by a hash of the targetid"
    fewest: int = setting(100, ge=20)
    "training galaxies of a domain without which nothing is trained on it"
    least: int = setting(20, ge=2)
    "test galaxies of a domain with the property without which nothing is tested on it"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap of galaxies"
    shown: int = setting(2, ge=1)
    "embeddings drawn, beside photometry: the best of each modality in its own domain, then the second best"


def inputs(context: Context) -> dict[str, list[str]]:
    """Catalogue, splits and embeddings of a survey; and of each embedding whose model is trained on another survey, the
    same of that one (roles host_*, in one order)."""
    settings: Settings = context.settings
    there = context.embedding_names()
    names = [name for name in settings.embeddings or there if name in there]
    if not names:
        wanted = f"of {', '.join(settings.embeddings)}" if settings.embeddings else "at all"
        raise Lacking(f"has no embedding {wanted}")
    found = {"galaxies": context.galaxies, "splits": context.splits, "embeddings": context.embeddings(names)}
    found |= {"host_embeddings": [], "host_galaxies": [], "host_splits": []}
    fractions = context.survey.settings.split.fractions
    for name in names if SURVEY in settings.shifts else ():
        host = context.of_host(there[name])
        if host.survey.name == context.survey.name or name not in host.embedding_names():
            continue
        if host.survey.settings.split.fractions.train:
            found["host_embeddings"] += host.embeddings([name])
            found["host_galaxies"] += host.galaxies
            found["host_splits"] += host.splits
    if not fractions.test or not (fractions.train or found["host_embeddings"]):
        raise Lacking("has no galaxies to train and test on (split.fractions), and no other survey that does")
    return found


KIND = AnalysisKind(
    rule="shift_domains",
    title="What is lost on galaxies of another domain",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "domain_shift.csv", "figure": "domain_shift.png"},
    run="skyloom.analysis.domain_shift.measure:measure_shift",
    present="skyloom.analysis.domain_shift.present:present",
    keys=("models_from",),
)
