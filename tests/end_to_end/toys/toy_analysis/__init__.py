"""An analysis of one's own: is the predicted redshift right?"""

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of an analysis of kind `toy_analysis`."""

    model: reference("model") = setting()
    "whose predictions are looked at"


def inputs(context):
    return {
        "galaxies": context.galaxies,
        "predictions": context.predictions(context.settings.model, "redshift"),
        "embeddings": context.embeddings([f"{context.settings.model}-joint"]),
    }


def run(job):
    import pandas
    from matplotlib.figure import Figure

    galaxies = pandas.read_parquet(job.one("galaxies")).set_index("targetid")
    found = pandas.read_parquet(job.one("predictions")).set_index("targetid")
    error = (found["z"] - galaxies["z"].reindex(found.index)).abs()
    test = found["split"] == "test"
    table = pandas.DataFrame({"split": ["test"], "mean_error": [error[test].mean()], "n": [int(test.sum())]})
    table.to_csv(job.outputs["table"], index=False)
    figure = Figure()
    figure.add_subplot().plot(galaxies["z"].reindex(found.index), found["z"], ".")
    figure.savefig(job.outputs["figure"])


def present(paths, settings, shown):
    import pandas

    from skyloom.analysis.common import blocks

    table = pandas.read_csv(paths["table"])
    error = table["mean_error"][0]
    return [
        blocks.claim(f"{settings.model} reads redshifts to 0.1", f"mean error {error:.3f}", error < 0.1, True),
        blocks.Figure(paths["figure"]),
        blocks.grid(table),
    ]


KIND = AnalysisKind(
    rule="judge_toy",
    title="redshifts of the toy model",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "toy_analysis.csv", "figure": "toy_analysis.png"},
    run="toy_analysis:run",
    present="toy_analysis:present",
)
