"""A trained model in a program of one's own: `from_pretrained` on its folder, then arrays in and arrays out.

    from skyloom.embedding.pretrained import from_pretrained

    model = from_pretrained("results/mock/models/specformer")
    model.inputs                                             # {"spectrum": {"flux": (7781,), "ivar": (7781,)}}
    vectors = model.embed(spectrum={"flux": flux, "ivar": ivar})          # (N, dim) float32

Arrays are what token shards hold: spectra in 1e-17 erg/s/cm2/Angstrom and their inverse variances on the pixels of the
model's grid, Legacy images as flux in nanomaggy (g, r, z) or as rgb in 0..1, and so on (`skyloom.tokens`).
"""

import os
from collections.abc import Mapping

import numpy as np
import torch

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models import networks
from skyloom.nn.batch import Batch
from skyloom.training.numerics import pick_device

_BATCH = 64


class Pretrained:
    """A trained model.

    Attributes
    ----------
    network : the torch module, in evaluation mode
    card : what is known of it (model.json)
    inputs : modality -> dataset -> shape of a sample of those it was trained on
    embeddings, queries : what it gives
    """

    def __init__(self, folder: str | os.PathLike, device: str = "cpu"):
        self.network, self.card = networks.load(folder)
        self.device = pick_device(device)
        self.network.to(self.device)
        self.inputs = {m: {n: tuple(s) for n, s in part.items()} for m, part in self.card["takes"].items()}
        self.embeddings, self.queries = (tuple(self.card["gives"][what]) for what in ("embeddings", "queries"))

    def embed(
        self, name: str | None = None, batch_size: int = _BATCH, **modalities: Mapping[str, object]
    ) -> np.ndarray:
        """Embeddings, (N, dim) float32.

        Parameters
        ----------
        name : which of `embeddings`; without it the one that is made of what is given
        modalities : modality -> dataset -> (N, ...) arrays or tensors

        Raises
        ------
        BadConfig : the model has no such embedding, or an array that it needs is not given.
        BadInput : an array has not the shape of a sample of the model's.
        """
        name = self._chosen(name, modalities)
        rows = self._rows(modalities, networks.needs(self.network, name))
        return self._run(rows, batch_size, lambda batch: {"": self.network.embed(batch, name)})[""]

    def predict(
        self, query: str | None = None, batch_size: int = _BATCH, **modalities: Mapping[str, object]
    ) -> dict[str, np.ndarray]:
        """What the model says when asked: column -> (N,) or (N, D). As `embed`; `query` is one of `queries`."""
        query = self.queries[0] if query is None and len(self.queries) == 1 else query
        if query not in self.queries:
            raise BadConfig(f"this model answers {', '.join(self.queries) or 'no query'}, not {query}")
        rows = self._rows(modalities, networks.needs(self.network, query))
        return self._run(rows, batch_size, lambda batch: self.network.predict(batch, query))

    def _chosen(self, name: str | None, modalities: Mapping) -> str:
        made_of = {e: set(networks.needs(self.network, e)) for e in self.embeddings}
        if name is None:
            name = next((e for e, needed in made_of.items() if needed == set(modalities)), None)
        if name not in made_of:
            text = "; ".join(f"{e} of {', '.join(sorted(needed))}" for e, needed in made_of.items())
            raise BadConfig(f"this model embeds {text or 'nothing'}; not {name or ', '.join(modalities)}")
        return name

    def _rows(self, modalities: Mapping, needed: tuple[str, ...]) -> dict[str, dict[str, torch.Tensor]]:
        found, counts = {}, set()
        for modality in needed:
            found[modality] = {}
            for dataset in self.network.inputs[modality]:
                if dataset not in modalities.get(modality, {}):
                    raise BadConfig(f"{modality}: {dataset} is not given; the model takes {self.inputs[modality]}")
                values = torch.as_tensor(modalities[modality][dataset], dtype=torch.float32)
                shape = self.inputs[modality][dataset]
                # images may be larger than those of the training: networks crop them
                if values.ndim != len(shape) + 1 or (len(shape) < 3 and tuple(values.shape[1:]) != shape):
                    raise BadInput(f"{modality}, {dataset}: shape {tuple(values.shape)}; expected (N, {shape})")
                found[modality][dataset] = values
                counts.add(len(values))
        if len(counts) != 1:
            raise BadInput(f"arrays of {', '.join(map(str, sorted(counts)))} galaxies; expected as many in each")
        return found

    def _run(self, rows: dict, batch_size: int, ask) -> dict[str, np.ndarray]:
        count = len(next(iter(next(iter(rows.values())).values())))
        parts = []
        with torch.inference_mode():
            for first in range(0, max(count, 1), batch_size):
                cut = slice(first, first + batch_size)
                data = {m: {n: t[cut] for n, t in part.items()} for m, part in rows.items()}
                found = ask(Batch(data).to(self.device))
                parts.append({n: (t.float() if t.is_floating_point() else t).cpu().numpy() for n, t in found.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def from_pretrained(folder: str | os.PathLike, device: str = "cpu") -> Pretrained:
    """A trained model from its folder, ``results/{survey}/models/{model}`` or a copy of it.

    Raises
    ------
    BadInput : a file is missing or damaged.
    """
    return Pretrained(folder, device)
