"""What all analyses share: the keys of an entry of `analyses`, and what a job of an analysis is given."""

import dataclasses

from skyloom.settings.section import Section, reference, setting


class AnalysisSettings(Section):
    """An entry of `analyses`; a kind adds its own keys."""

    kind: str | None = setting(None)
    "the module of `skyloom/analysis` behind it, or one of your own; without this key the name of the entry"
    surveys: list[reference("survey")] | None = setting(None)
    "where it is made; without this key for every survey that has what it takes"


class Lacking(Exception):
    """A survey has not what an analysis takes; the text says what is missing."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What the function of an analysis is given.

    Attributes
    ----------
    survey : name of the survey
    inputs : role -> files
    outputs : role -> file to write
    settings : its section
    seed : of the run
    of_survey : the settings of the survey that `AnalysisKind.keys` names
    """

    survey: str
    inputs: dict[str, list[str]]
    outputs: dict[str, str]
    settings: Section
    seed: int
    of_survey: dict = dataclasses.field(default_factory=dict)

    def one(self, role: str) -> str:
        """The only file of a role."""
        (path,) = self.inputs[role]
        return path
