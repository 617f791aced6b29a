"""A kind of model outside the library: several modalities, any of which may be missing, a joint embedding, queries."""

TEXT = '''
"""Standardised vectors of all modalities, padded by zeros where one is missing, through one layer."""

import torch
from torch import nn

from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import JOINT
from skyloom.settings.section import Section, setting


class Config(Section):
    """Shape."""

    dim: int = setting(6, ge=1)
    "of an embedding"
    length: int = setting(4, ge=1)
    "numbers of each modality"


class Network(nn.Module):
    def __init__(self, config, takes):
        super().__init__()
        self.config, self.width = config, config.dim
        self.inputs = {modality: ("values",) for modality in takes}
        self.layers = nn.ModuleDict({m: nn.Linear(config.length, config.dim) for m in takes})
        self.redshift = nn.Linear(config.dim, 1)
        self.back = nn.Linear(config.dim, config.length)

    def joint(self, batch):
        parts = [self.layers[m](batch[m]["values"]) * batch.present[m][:, None] for m in self.inputs if m in batch]
        return torch.stack(parts).sum(0)

    def embed(self, batch, name):
        return self.joint(batch) if name == JOINT else self.layers[name](batch[name]["values"])

    def needs(self, name):
        return ("lsst",) if name == "lsst_to_z" else (name,) if name in self.inputs else tuple(self.inputs)

    def predict(self, batch, query):
        if query == "lsst_to_z":
            z = self.redshift(self.layers["lsst"](batch["lsst"]["values"]))[:, 0]
            count = batch.present["lsst"].sum().expand(len(z))
            return {"z": z, "z_interval": torch.stack([z - 1, z + 1], 1), "given": count}
        return {"values": self.back(self.joint(batch))}


class Objective(nn.Module):
    labels = ("z",)

    def __init__(self, model):
        super().__init__()
        self.model, self.inputs = model, model.inputs

    def forward(self, batch, draws, progress):
        error = self.model.redshift(self.model.joint(batch))[:, 0] - batch.labels["z"]
        known = batch.labels["z"].isfinite()
        rebuilt = self.model.back(self.model.joint(batch)).square().mean() * 0
        loss = torch.where(known, error, 0).square().sum() / known.sum().clamp(min=1) + rebuilt
        return loss, {"known": known.float().mean()}


KIND = ModelKind(
    settings=Config,
    network="toy_masked:Network",
    objective="toy_masked:Objective",
    takes="several",
    embeddings=lambda model: (*model.takes, JOINT),
    queries=lambda model: ("lsst_to_z", "rebuild"),
    shared_space=True,
    training={"steps": 30, "learning_rate": 0.05, "incomplete": "keep"},
)
'''
