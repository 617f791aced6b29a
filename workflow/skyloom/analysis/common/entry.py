"""What the script of every analysis does: find the kind, check its settings, run it."""

from collections.abc import Iterable, Mapping

from skyloom.settings import kinds
from skyloom.settings.analysis import Job
from skyloom.settings.layout import VECTOR
from skyloom.settings.section import parse


def run_analysis(
    kind: str,
    survey: str,
    inputs: Iterable[tuple[str, object]],
    outputs: Iterable[tuple[str, str]],
    settings: Mapping,
    seed: int,
    of_survey: Mapping | None = None,
    extensions: Iterable[str] = (),
) -> None:
    """Run an analysis.

    Parameters
    ----------
    kind : name of its kind;  extensions: folders with kinds of the user's own
    survey : name of the survey
    inputs, outputs : (role, file or files) and (role, file)
    settings : its entry of `analyses`
    seed : of the run
    of_survey : settings of the survey that `KIND.keys` names
    """
    kinds.extend(extensions)
    found = kinds.find("analysis", kind, "analyses")
    section = parse(found.settings, dict(settings), f"analyses.{kind}")
    files = {role: [given] if isinstance(given, str) else [str(path) for path in given] for role, given in inputs}
    job = Job(survey, files, {role: str(path) for role, path in outputs}, section, seed, dict(of_survey or {}))
    made = job.outputs
    forms = {made[role.removesuffix(VECTOR)]: path for role, path in made.items() if role.endswith(VECTOR)}
    if not forms:
        return kinds.load(found.run)(job)
    from skyloom.figures import style  # after its kind was found: what draws nothing needs no matplotlib

    with style.also(forms):
        kinds.load(found.run)(job)
