"""How far real galaxies are from the simulated ones that the models were trained on, as the models see them."""

from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting

QUERY = "redshift"


class Settings(AnalysisSettings):
    """Keys of a domain gap."""

    embeddings: list[reference("embedding")] = setting([])
    "which, as MODEL-MODALITY; [] for all whose model was trained on a simulated survey"
    spectrum: reference("modality") = setting("spectrum")
    "modality whose tokens (flux, ivar) give the signal-to-noise to match by; a survey without it: not matched by it"
    trees: int = setting(200, ge=50)
    "of the classifier, a random forest"
    matched: int = setting(3, ge=1)
    "simulated galaxies for each real one, the most alike in redshift and signal-to-noise"
    neighbours: int = setting(5, ge=1)
    "a galaxy is as far as this neighbour among the training galaxies"
    beyond: float = setting(0.01, gt=0, lt=1)
    "share of simulated galaxies that count as unlike the others"
    galaxies: int = setting(5000, ge=100)
    "simulated ones at most, of those that no model was trained on; chosen by a hash of the targetid"
    resamples: int = setting(500, ge=100)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """Embeddings of real galaxies and of the simulated ones that their models were trained on, with what tells how
    alike two galaxies are: redshifts by the model, signal-to-noise of the spectra."""
    if context.survey.kind.simulated:
        raise Lacking("is simulated itself")
    settings: Settings = context.settings
    there = context.embedding_names()
    names = [
        name
        for name in settings.embeddings or there
        if name in there and context.of_host(there[name]).survey.kind.simulated
    ]
    if not names:
        raise Lacking("is not embedded by a model that was trained on a simulated survey")
    found = {"galaxies": context.galaxies, "embeddings": context.embeddings(names), "reference": []}
    found["tokens"] = context.tokens_if_any(settings.spectrum)
    for place, name in enumerate(names):
        model, host = there[name], context.of_host(there[name])
        found["reference"] += host.embeddings([name])
        found[f"reference_galaxies_{place}"] = host.galaxies
        found[f"reference_tokens_{place}"] = host.tokens_if_any(settings.spectrum)
        if QUERY in context.config.models[model].queries:
            found[f"predictions_{place}"] = context.predictions(model, QUERY)
            found[f"reference_predictions_{place}"] = host.predictions(model, QUERY)
    return found


KIND = AnalysisKind(
    rule="measure_domain_gap",
    title="How unlike the simulation real galaxies are",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "domain-gap.csv", "figure": "domain-gap.png"},
    run="skyloom.analysis.domain_gap.gap:measure_gap",
    present="skyloom.analysis.domain_gap.present:present",
)
