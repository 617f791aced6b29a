"""What a network fills in where a spectrum is hidden, beside simple ways to do it."""

from skyloom.core.errors import BadConfig
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of a comparison of ways to fill in what is hidden of spectra."""

    model: reference("model") | None = setting(None)
    "that fills spectra in; without this key the first of the survey"
    galaxies: int = setting(500, ge=10)
    "test galaxies at most, chosen by a hash of the targetid"
    training: int = setting(1000, ge=50)
    "training galaxies at most behind the mean spectrum and the principal components"
    components: int = setting(16, ge=1)
    "principal components, fitted to what is seen with the prior that training galaxies give"
    edge: float = setting(30.0, gt=0)
    "Angstrom on either side of what is hidden, between whose means the straight line goes"
    smooth: float = setting(16.0, gt=0)
    "Angstrom of the means in which spectra are compared and drawn besides; published: 20 pixels of 0.8"
    near: float = setting(1000.0, gt=0)
    "km/s about the main lines, at the catalogue's redshift, that are scored apart"
    shown: int = setting(3, ge=1)
    "galaxies in the figure"
    insets: int = setting(3, ge=1)
    "hidden stretches of each that are shown close up"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """Catalogue, splits, the model and the tokens of its modality."""
    context.trains()
    wanted = context.settings.model
    if wanted is not None and not context.config.models[wanted].kind.fills:
        raise BadConfig(f"analyses.{context.analysis.name}.model: '{wanted}' fills in no spectra; leave it out")
    able = [m for m in context.models() if m.kind.fills and (m.name == wanted if wanted else m.trained)]
    if not able:
        raise Lacking(f"has no model '{wanted}'" if wanted else "has no trained model that fills in spectra")
    (modality,) = able[0].takes
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "model": context.model_files(able[0].name),
        "tokens": context.tokens(modality),
    }


KIND = AnalysisKind(
    rule="fill_spectra",
    title="Spectra filled in where they were hidden",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "filling.csv", "figure": "filling.png"},
    run="skyloom.analysis.filling.measure:measure",
    present="skyloom.analysis.filling.present:present",
)
