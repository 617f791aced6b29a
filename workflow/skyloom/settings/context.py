"""What an analysis may ask for of a survey, as names of files."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skyloom.core.errors import BadConfig
from skyloom.settings import layout
from skyloom.settings.analysis import Lacking

if TYPE_CHECKING:
    from skyloom.settings.config import Analysis, Config, Survey
    from skyloom.settings.models import Model


@dataclasses.dataclass(frozen=True)
class Context:
    """An analysis at a survey. Every method raises `Lacking` when the survey has not what is asked for."""

    config: "Config"
    survey: "Survey"
    analysis: "Analysis"

    @property
    def settings(self):
        """The section of the analysis."""
        return self.analysis.settings

    @property
    def galaxies(self) -> list[str]:
        """``galaxies.parquet``."""
        return [layout.galaxies(self.survey.name)]

    @property
    def splits(self) -> list[str]:
        """``splits.parquet``."""
        return [layout.splits(self.survey.name)]

    def trains(self) -> None:
        """Lacking unless the survey has galaxies to train, choose and test on, and models of its own."""
        fractions = self.survey.settings.split.fractions
        if not (fractions.train and fractions.validation and fractions.test):
            raise Lacking("has no galaxies to train, choose and test on (split.fractions)")
        hosts = self.config.hosts(self.survey.name)
        if hosts and self.survey.name not in hosts:
            raise Lacking(f"is embedded with the models of '{hosts[0]}'")

    def models(self) -> list["Model"]:
        """The survey's models."""
        return self.config.models_of(self.survey.name)

    def embeddings(self, names: Sequence[str] = ()) -> list[str]:
        """Embedding tables ``{model}-{modality}`` of these names, in their order; all when none is named."""
        there = layout.embeddings(self.survey.name, self.config)
        for name in names:
            if name not in there:
                raise Lacking(f"has no embedding '{name}'; it has {', '.join(there) or 'none'}")
        if not there:
            raise Lacking("has no embeddings: none of its `models` takes one of its modalities")
        return [there[name] for name in names or there]

    def embeddings_of(self, model: str) -> dict[str, str]:
        """The embedding tables of one model, by modality."""
        if model not in {m.name for m in self.models()}:
            raise Lacking(f"has no model '{model}' with embeddings")
        names = self.config.embeddings_of(self.config.models[model], self.survey.name)
        return {name: layout.embedding(self.survey.name, model, name) for name in names}

    def embedding_names(self) -> dict[str, str]:
        """``{model}-{modality}`` of every embedding table -> its model."""
        given = {model.name: self.config.embeddings_of(model, self.survey.name) for model in self.models()}
        return {f"{model}-{name}": model for model, names in given.items() for name in names}

    def output_of(self, key: str, role: str) -> list[str]:
        """A file that another analysis makes of the survey: the one that a key of this analysis names.

        Raises
        ------
        BadConfig : the other one makes no such file.
        """
        name = getattr(self.settings, key)
        other = self.config.analyses.get(name)
        if other is None:
            raise Lacking(f"has no analysis '{name}'")
        if role not in other.kind.outputs:
            where = f"analyses.{self.analysis.name}.{key}"
            raise BadConfig(f"{where}: '{name}' is of kind {other.kind_name}, which makes no {role}")
        return [self._made(other)[role]]

    def made_of(self, name: str) -> dict[str, str]:
        """The files that another analysis makes of the survey, by role; none where it is not made."""
        try:
            return self._made(self.config.analyses[name])
        except Lacking:
            return {}

    def _made(self, other: "Analysis") -> dict[str, str]:
        listed = self.survey.settings.analyses
        if listed is not None and other.name not in listed:
            raise Lacking(f"does not name '{other.name}' among its `analyses`")
        if other.settings.surveys is not None and self.survey.name not in other.settings.surveys:
            raise Lacking(f"is not among the surveys of '{other.name}'")
        other.kind.inputs(dataclasses.replace(self, analysis=other))
        return layout.outputs(other, self.survey.name)

    def model_files(self, model: str) -> list[str]:
        """Weights and card of a model that embeds the survey."""
        folder = layout.model_folder(self.survey.name, model, self.config)
        return [f"{folder}/model.safetensors", f"{folder}/model.json"]

    def predictions(self, model: str, query: str) -> list[str]:
        """The table of what a model says when asked."""
        if model not in self.answering(query):
            raise Lacking(f"has no prediction '{query}' of a model '{model}'")
        return [layout.prediction(self.survey.name, model, query)]

    def answering(self, query: str) -> list[str]:
        """The models that answer a query about the survey's galaxies."""
        return [m.name for m in self.models() if query in self.config.queries_of(m, self.survey.name)]

    def tokens(self, modality: str) -> list[str]:
        """Token shards of a modality."""
        if modality not in self.survey.settings.modalities:
            raise Lacking(f"has no modality {modality}; it has {', '.join(self.survey.settings.modalities)}")
        return layout.shards(self.survey.name, modality, self.config)

    def tokens_if_any(self, modality: str) -> list[str]:
        """Token shards of a modality, none if it is not among the survey's."""
        return self.tokens(modality) if modality in self.survey.settings.modalities else []

    def raw(self, role: str) -> list[str]:
        """Raw files of a role."""
        files = layout.raw(self.survey.name, self.config)[role]
        if not files:
            raise Lacking(f"has no raw files of role {role}")
        return files

    def of_host(self, model: str) -> "Context":
        """The same analysis at the survey on which a model is trained that embeds this one."""
        return dataclasses.replace(self, survey=self.config.surveys[self.survey.host(model)])
