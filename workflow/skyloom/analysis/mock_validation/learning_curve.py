"""What do images say of redshift that photometry does not, and how many galaxies does it take to learn it?"""

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas
import torch
from torch import Tensor

from skyloom.analysis.common import tables
from skyloom.analysis.mock_validation import difficulty, gallery
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.gallery import Gallery
from skyloom.core.job import progress
from skyloom.mock.universe.light.dust import EXTINCTION
from skyloom.models.inception import Config
from skyloom.models.inception.network import Inception, Objective
from skyloom.nn import redshift_density
from skyloom.nn.batch import Batch
from skyloom.nn.images import dihedral
from skyloom.settings.training import Training
from skyloom.tokens.loader import step_samples
from skyloom.training.checkpoints import Checkpoints
from skyloom.training.numerics import reproducible
from skyloom.training.trainer import Trainer

log = logging.getLogger(__name__)

TEST = 2000  # galaxies, from tiles that no training galaxy is of
VALIDATION = 1000  # galaxies that decide at which step the network is best
TRAINING = {
    **{"batch_size": 32, "learning_rate": 2e-3, "weight_decay": 0.05, "warmup": 200, "clip": 1.0},
    **{"learning_rates": {"model.stem": 0.3, "model.blocks": 0.3}, "precision": "float32", "log_every": 200},
    **{"select": "best", "validate_every": 250, "validation_samples": VALIDATION},
}
DROPOUTS = 0.0, 0.2  # few galaxies are learnt by heart without it, and it blurs what is read off the photometry of many
STEPS = 3000, 2000, 0.5  # of a training on so many galaxies, growing with this power of their number
RESAMPLES = 1000
NETWORK, PHOTOMETRY, STRUCTURE, GAIN = "image network", "photometry", "photometry and true structure", "gain"
MODELS = {NETWORK: "image", PHOTOMETRY: "photometry", STRUCTURE: "truth"}


def measure(
    counts: Sequence[int], survey: str, seed: int, config: Mapping, grid_path: str | os.PathLike
) -> pandas.DataFrame:
    """R2 of the redshift of BGS Bright galaxies, in the columns of `tables.COLUMNS`; `method` is how many taught it.

    A network of inception blocks trained on images, gradient boosting on measured g, r, z, and on these and the true
    structure of a galaxy (its sizes, axis ratios and the share of its bulge in each band), about the most that can be
    read from its image, all on the same galaxies; `gain` is the network's R2 less photometry's.

    Parameters
    ----------
    counts : of training galaxies; none for an empty table
    seed : of the galaxies and the trainings
    config : of the survey, of which `population` matters
    """
    rows: list[dict] = []
    if counts:
        test = gallery.make(TEST, seed, config, grid_path)
        train = gallery.make(VALIDATION + max(counts), seed, config, grid_path, first=-(-TEST // 300))
        held, train = train[:VALIDATION], train[VALIDATION:]
        log.info("%d galaxies drawn", len(test) + len(held) + len(train))
        for count in sorted(counts):
            answers = predictions(train[:count], held, test, seed)
            rows += _rows(survey, count, answers, test.redshift, np.random.default_rng(seed))
            log.info(
                "%d: %s", count, ", ".join(f"{row['model']} {row['value']:.3f}" for row in rows[-len(answers) - 1 :])
            )
    return pandas.DataFrame(rows, columns=tables.COLUMNS)


def check(ledger: Ledger, curve: pandas.DataFrame) -> None:
    """The network's R2 less photometry's, by the largest number of training galaxies."""
    rows = curve[curve["model"] == GAIN]
    if len(rows):
        last = rows.iloc[-1]
        ledger.add("r2_z_image_gain", last["value"], last["n"])


def predictions(train: Gallery, held: Gallery, test: Gallery, seed: int) -> dict[str, np.ndarray]:
    """Redshifts (n,) of `test` by what has learned from `train`, for each of MODELS; `held` are for validation."""
    measured = [difficulty.features(some.flux, some.ebv) for some in (train, test)]
    both = [np.hstack([seen, some.shape]) for seen, some in zip(measured, (train, test), strict=True)]
    boosted = [difficulty.boosted(one, train.redshift, other, seed) for one, other in (measured, both)]
    return {NETWORK: said(taught(train, held, seed), test), PHOTOMETRY: boosted[0], STRUCTURE: boosted[1]}


class Galleries:
    """What the training engine asks of samples, of two galleries in memory: those to learn from, then `held`."""

    device = "cpu"

    def __init__(self, train: Gallery, held: Gallery):
        self.parts, self.count = (train, held), len(train)

    def of(self, split: str) -> np.ndarray:
        train, held = self.parts
        return np.arange(len(train)) if split == "train" else self.count + np.arange(len(held))

    def chosen(self, split: str, count: int) -> np.ndarray:
        return self.of(split)[:count]

    def batch(self, rows: np.ndarray) -> Batch:
        """Rows are of one of the two."""
        held = int(len(rows) > 0 and rows[0] >= self.count)
        some, rows = self.parts[held], rows - held * self.count
        labels = {"z": torch.from_numpy(some.redshift[rows]).float(), "zwarn": torch.zeros(len(rows))}
        return Batch({"image": {"flux": dereddened(some, rows)}}, labels=labels)

    def shuffled(
        self, indices: np.ndarray, size: int, seed: int, first: int, last: int, rank: int, world: int
    ) -> Iterator[Batch]:
        for step in range(first, last):
            yield self.batch(indices[step_samples(len(indices), size, seed, step)[rank::world]])


def dereddened(some: Gallery, rows: np.ndarray) -> Tensor:
    """Images as they would be without the dust of the Milky Way, of which photometry is freed too, (n, 3, S, S)."""
    light = 10 ** (0.4 * np.outer(some.ebv[rows], [EXTINCTION[band] for band in "GRZ"]))
    return torch.from_numpy(some.images[rows].astype(np.float32) * light[:, :, None, None].astype(np.float32))


def taught(train: Gallery, held: Gallery, seed: int, steps: int | None = None) -> Inception:
    """A network that has learned redshifts from the images of `train`: of DROPOUTS that which says those of `held`
    best."""
    found = []
    for dropout in DROPOUTS:
        model = _trained(train, held, seed, steps, dropout)
        found.append((difficulty.r2(held.redshift, said(model, held)), model))
        log.info("%d galaxies, dropout %g: R2 %.3f of those for validation", len(train), dropout, found[-1][0])
    return max(found, key=lambda pair: pair[0])[1]


def _trained(train: Gallery, held: Gallery, seed: int, steps: int | None, dropout: float) -> Inception:
    """The network at the step whose loss for `held` is lowest."""
    begin, per, power = STEPS
    settings = Training(**TRAINING, steps=steps or round(begin * (len(train) / per) ** power))
    with reproducible(1), torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(seed)
        objective = Objective(Inception(Config(image_size=gallery.SIZE, dropout=dropout), ("image",)))
        samples = Galleries(train, held)
        first = np.random.default_rng(seed).permutation(len(train))[: objective.begin_samples]
        objective.begin({}, {}, [samples.batch(first)])
        Trainer(objective, samples, settings, seed, Checkpoints(folder, "curve"), 0, 1, progress).run()
    return objective.model.eval()


@torch.no_grad()
def said(model: Inception, some: Gallery) -> np.ndarray:
    """Means (n,) of the posteriors of redshift, over the eight flips and rotations."""
    middle, step, bins = redshift_density.LOG_SCALE
    z = torch.expm1(middle + step * torch.arange(bins))
    found = []
    for rows in np.array_split(np.arange(len(some)), -(-len(some) // 256)):
        flux = dereddened(some, rows)
        says = [model.says(model.hidden(dihedral(flux, view))) for view in range(8)]
        found.append(redshift_density.posterior(redshift_density.averaged(says)) @ z)
    return torch.cat(found).numpy()


def _rows(survey: str, count: int, said: Mapping[str, np.ndarray], z: np.ndarray, rng: np.random.Generator) -> list:
    chosen = rng.integers(0, len(z), (RESAMPLES, len(z)))
    scores = {
        name: np.array([difficulty.r2(z[rows], values[rows]) for rows in chosen]) for name, values in said.items()
    }
    value = {name: difficulty.r2(z, values) for name, values in said.items()}
    scores[GAIN], value[GAIN] = scores[NETWORK] - scores[PHOTOMETRY], value[NETWORK] - value[PHOTOMETRY]
    what = {name: ("image - photometry" if name == GAIN else MODELS[name]) for name in scores}
    return [
        tables.row(survey, name, what[name], str(count), "z", "test", "r2", value[name], interval, len(z))
        for name, interval in ((name, np.percentile(some, [2.5, 97.5])) for name, some in scores.items())
    ]
