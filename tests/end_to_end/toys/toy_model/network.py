"""The network of the toy model: a linear latent of all modalities, and a redshift read from it."""

import torch
from torch import nn

from skyloom.settings.names import JOINT


class ToyModel(nn.Module):
    def __init__(self, settings, takes):
        super().__init__()
        self.takes = takes
        self.inputs = dict.fromkeys(takes, ("values",))
        self.latent = nn.Linear(settings.width, settings.dim)
        self.redshift = nn.Linear(settings.dim, 1)

    def embed(self, batch, name=JOINT):
        return self.latent(torch.cat([batch[modality]["values"] for modality in self.takes], dim=1))

    def predict(self, batch, query):
        return {"z": self.redshift(self.embed(batch))[:, 0]}


class Objective(nn.Module):
    labels = ("z",)

    def __init__(self, model):
        super().__init__()
        self.model, self.inputs = model, model.inputs

    def forward(self, batch, draws, progress):
        error = self.model.predict(batch, "redshift")["z"] - batch.labels["z"]
        return error.square().mean(), {}
