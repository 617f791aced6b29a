"""MOSAIC: a masked transformer over the numbers of a galaxy, which says any of them from any others (Xia+ 2025)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.formats.part_columns import SCALARS
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, hint, refuse, setting

SIZES = {"scalars": len(SCALARS), "lsst": 6, "spherex": 102, "sfh": 117, "sed": 921}
"""Numbers in each modality of the paper, 1,149 in all."""
PICTURES = {"lsst_image": 1728}
"""Numbers in modalities that the paper does not have."""

BANDS = "ugrizy"
RANGED = ("spherex", "sfh", "sed")
"""Modalities of which a range can be taken."""

Range = Annotated[list[float], Field(min_length=2, max_length=2)]
Item = str | dict[str, Range]
Size = Annotated[int, Field(ge=1)]


def items(chosen: list[Item]) -> list[str]:
    """The modalities and single values that items name, those of ranges included."""
    return [name for item in chosen for name in ([item] if isinstance(item, str) else item)]


def modality_of(name: str) -> str | None:
    """The modality of a single value, or the modality itself; None for what is neither."""
    if name in SIZES or name in PICTURES:
        return name
    if name in SCALARS:
        return "scalars"
    return "lsst" if name.startswith("lsst_") and (name[5:] in list(BANDS) or name[5:].isdigit()) else None


def check_items(where: str, chosen: list[Item] | None) -> None:
    """Refuse what cannot be the name of a number, and ranges that are none."""
    for item in chosen or []:
        for name, ends in [(item, None)] if isinstance(item, str) else item.items():
            if modality_of(name) is None:
                known = [*SIZES, *PICTURES, *SCALARS, *(f"lsst_{band}" for band in BANDS)]
                raise refuse(where, f"'{name}' is not known; {hint(name, known)}")
            if ends and (name not in RANGED or not ends[0] < ends[1]):
                text = f"expected a range [low, high] of {', '.join(RANGED)}"
                raise refuse(where, f"{{{name}: {list(ends)}}} is not allowed; {text}")


class Query(Section):
    """What is given and what is wanted of a galaxy.

    An item is a modality (`lsst`), a single value (`log_mstar`, `lsst_r`), or a range in the units of a modality's axis
    (`{sfh: [0, 10]}`, Gyr; `{sed: [3000, 9000]}` and `{spherex: ...}`, Angstrom; the lower end belongs to it).
    """

    given: list[Item] = setting(min_length=1)
    "what the model sees"
    wanted: list[Item] | None = setting(None, min_length=1)
    "what it is asked for; without this key all that is not given"
    level: float = setting(0.9, gt=0, lt=1)
    "of the intervals"
    samples: int = setting(0, ge=0, le=1000)
    "galaxies drawn from the joint distribution of all that is wanted, a column `{name}_samples`"

    @model_validator(mode="after")
    def _known(self):
        check_items("given", self.given)
        check_items("wanted", self.wanted)
        return self


class Masks(Section):
    """What is hidden in training, as in the paper, appendix A, but for `whole`."""

    modality: float = setting(0.5, ge=0, le=1)
    "probability that a modality is hidden as a whole; with 0.5 all subsets of modalities are equally likely"
    scalar: float = setting(0.5, ge=0, le=1)
    "probability that a scalar is hidden, in a galaxy that shows scalars"
    vector: float = setting(0.2, ge=0, lt=1)
    "least share of a vector that is shown that spans of random length and place add up to; they may overlap"
    largest: float = setting(0.8, ge=0, lt=1)
    "largest such share; between the two it is drawn for each galaxy. As published no more than 0.2"
    whole: float = setting(0.5, ge=0, le=1)
    "probability that a vector that is shown is shown whole; 0 as published, where no galaxy ever shows all six bands"

    @model_validator(mode="after")
    def _ordered(self):
        if self.largest < self.vector:
            raise refuse("largest", f"{self.largest:g} is not allowed; must be at least vector, {self.vector:g}")
        return self


class Config(Section):
    """Numbers, tokens and layers. Width, depth and heads are not published: all values here are ours."""

    sizes: dict[str, Size] = setting({})
    "numbers in a modality, where they are not those of the simulated survey"
    patch: dict[str, Size] = setting({})
    "numbers in a token of a modality, 1 without an entry as published; a last token that is not full is filled up"
    dim: int = setting(128, ge=1)
    "width of the encoder"
    layers: int = setting(4, ge=1)
    "of the encoder"
    heads: int = setting(4, ge=1)
    "of attention"
    mlp_ratio: float = setting(4.0, gt=0)
    "hidden units of a layer's MLP for each of its width"
    norm: Literal["before", "after"] = setting("before")
    "layer norm before attention and MLP, or after them, as in BERT and so as published"
    unknown: Literal["flag", "zero"] = setting("flag")
    "a number that is hidden is marked by a flag of its own, or is zero alone, as published, which is also the mean"
    entry: Literal["mlp", "linear"] = setting("mlp")
    "numbers enter through two layers, or by one linear map, as published"
    says: Literal["quantiles", "mean"] = setting("quantiles")
    "a distribution of each number, or its mean alone, by the mean squared error, as published"
    factors: int = setting(8, ge=0, le=64)
    "of the correlations between numbers, from which galaxies are drawn; 0: none. With quantiles only"
    kept: int = setting(1000, ge=0)
    "validation galaxies that stay with the model; by them it sets the intervals of a query. 0: none"
    colours: float = setting(4.0, ge=0)
    "differences of neighbouring numbers of a token enter too, times this; 0: not, as published"
    scale: Literal["number", "modality"] = setting("number")
    "numbers of a vector are standardised each by its own mean and deviation, or all by one of each, as published"
    visible: float = setting(0.1, ge=0)
    "weight of the visible numbers in the loss; 1 as published"
    scored: float = setting(0.25, gt=0, le=1)
    "share of the numbers of every token, drawn anew in each step, that the loss looks at; 1 as published"
    masks: Masks = setting(Masks())
    "what is hidden in training"
    given: list[Item] | None = setting(None, min_length=1)
    "show this in training and nothing else: a network for one query, to compare with"

    @model_validator(mode="after")
    def _fits(self):
        if self.dim % self.heads:
            raise refuse("dim", f"{self.dim} is not a multiple of the {self.heads} heads")
        for key in ("sizes", "patch"):
            for name in getattr(self, key):
                if name not in SIZES | PICTURES:
                    allowed = ", ".join(SIZES | PICTURES)
                    raise refuse(f"{key}.{name}", f"is not a modality of this model; allowed are {allowed}")
        if self.sizes.get("scalars", SIZES["scalars"]) != SIZES["scalars"]:
            raise refuse("sizes.scalars", f"{self.sizes['scalars']} is not allowed; they are {', '.join(SCALARS)}")
        check_items("given", self.given)
        if self.says == "mean" and self.factors and "factors" in self.model_fields_set:
            raise refuse("factors", f"{self.factors} is not allowed; a mean has no distribution to draw from")
        return self


def check(model, survey) -> None:
    """Galaxies are drawn only by a model that says how numbers vary together."""
    for name, query in model.asked.items():
        if query.samples and not (model.settings.factors and model.settings.says == "quantiles"):
            where = f"models.{model.name}.queries.{name}.samples"
            raise BadConfig(f"{where}: {query.samples} is not allowed; the model has no factors to draw from")


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.mosaic.network:Mosaic",
    objective="skyloom.models.mosaic.objective:Objective",
    takes="several",
    modalities=(*SIZES, *PICTURES),
    training={"batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.01, "incomplete": "keep"},
    embeddings=lambda model: (),
    asks=Query,
    says_numbers=True,
    asked_of=lambda query: [modality_of(item) for item in items(query.given)],
    free=("given", "masks", "kept", "visible", "scored"),
    check=check,
)
