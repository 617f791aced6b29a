"""What trains a network: the protocol of an objective, one place for all that the engine may ask of it."""

from typing import Protocol

from torch import Tensor

from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws


class Objective(Protocol):
    """A `torch.nn.Module` made of the network, ``Objective(model)``, that holds it as `model`.

    Needed
    ------
    model : the network whose weights are kept
    inputs : modality -> datasets, what a batch must hold (usually ``model.inputs``)
    forward : (batch, draws, progress) -> (loss, metrics); see below

    Optional
    --------
    labels : columns of galaxies.parquet, or of the table that its kind names (`ModelKind.label_table`); a batch then
        has ``batch.labels[column]``, NaN where unknown
    classes : column -> names of classes; such a label is the place among them
    labelled : True where training and validation are made of the galaxies alone of which a label is known
    rates : beginning of names -> factor of the learning rate, where `training.learning_rates` says no other
    begin, begin_samples : (labels of the training split, column -> (N,); its statistics, modality -> statistics.json;
        at most `begin_samples` of its galaxies, none without it, in batches) -> None, once before the first step
    frozen : beginnings of the names of parameters and buffers that never change; they are not part of a checkpoint
    precompute : (batch) -> modality -> dataset -> (B, ...), what never changes in training; with the setting
        `cache_tokens` it is computed once a galaxy, kept in half precision, and `forward` is given it in place of
        the shards' datasets
    finish, finish_samples : (training batches, validation batches) -> rows of metrics, called once when the steps are
        over, with at most `finish_samples` training galaxies: for what of the model is fitted in one go
    after_step : (progress) -> None, called after every optimizer step (a running mean of weights ...)

    Parameters whose `requires_grad` is False are not trained. Rates of parts of a model are a setting
    (`training.learning_rates`), by the beginning of the names in ``objective.named_parameters()``.
    """

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, a scalar, and other numbers to report, scalars too.

        Parameters
        ----------
        batch : this process's samples of the global batch
        draws : the only source of random numbers: a pure function of (seed, step), the same on any number of processes
        progress : 0..1, how much of the training is over

        The loss must be the mean over samples, or be made of `skyloom.nn.distributed.gather`, so that its mean over
        processes is the loss of the global batch.
        """
