"""Redshifts of spectra by a redshift model: a table, posteriors, and how right they are beside other methods."""

from typing import Annotated

from pydantic import Field

from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting

QUERY = "redshift"


class Settings(AnalysisSettings):
    """Keys of a redshift measurement."""

    model: reference("model") | None = setting(None)
    "a model that answers the query `redshift`; without this key the first such model of the survey"
    compared: list[reference("embedding")] = setting([])
    "embeddings, as MODEL-MODALITY, whose neighbours and probes estimate redshifts for the same spectra"
    photometry: list[str] = setting(["mag_g", "mag_r", "mag_z"])
    "magnitudes of a baseline, columns of galaxies.parquet; []: none"
    k: int = setting(16, ge=1)
    "neighbours"
    epochs: int = setting(30, ge=1)
    "of the probes, MLPs of two layers of 64"
    right: Annotated[float, Field(gt=0, lt=1)] = setting(0.003)
    "largest error in dz/(1+z) of a galaxy that counts as right"
    right_quasar: Annotated[float, Field(gt=0, lt=1)] = setting(0.01)
    "the same of a quasar"
    purity: Annotated[float, Field(gt=0, lt=1)] = setting(0.995)
    "share of right ones at which completeness is stated; the threshold is chosen on the validation split"
    shown: int = setting(6, ge=1, le=24)
    "spectra drawn with their fit"
    without_ivar: int = setting(500, ge=0)
    "spectra at most that are measured again with their noise estimated from the flux, to know what that loses; 0: none"


def inputs(context: Context) -> dict[str, list[str]]:
    """What the model says of the survey, the model itself, the spectra; embeddings and galaxies of those to compare."""
    model = context.settings.model or _first(context)
    found = {
        "predictions": context.predictions(model, QUERY),
        "model": context.model_files(model),
        "galaxies": context.galaxies,
        "splits": context.splits,
        "tokens": context.tokens(context.config.models[model].takes[0]),
    }
    host = context.of_host(model)
    found["host_galaxies"], found["host_splits"] = host.galaxies, host.splits
    there = context.embedding_names()
    wanted = [name for name in context.settings.compared if name in there]
    if wanted:
        hosts = [context.of_host(there[name]) for name in wanted]
        found["embeddings"] = context.embeddings(wanted)
        found["reference"] = [
            path for host, name in zip(hosts, wanted, strict=True) for path in host.embeddings([name])
        ]
        found["reference_galaxies"] = [path for host in hosts for path in host.galaxies]
        found["reference_splits"] = [path for host in hosts for path in host.splits]
    return found


def _first(context: Context) -> str:
    for model in context.answering(QUERY):
        return model
    raise Lacking(f"has no model that answers the query '{QUERY}'")


KIND = AnalysisKind(
    rule="measure_redshift",
    title="Redshifts of spectra",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "redshift.csv",
        "scores": "redshift-scores.csv",
        "posteriors": "redshift-posteriors.hdf5",
        "figure": "redshift.png",
        "fits": "redshift-fits.png",
    },
    run="skyloom.analysis.redshift.measure:measure_redshift",
    present="skyloom.analysis.redshift.present:present",
    opens=True,
    tidy=False,
)
