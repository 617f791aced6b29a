"""What do images say of redshift that photometry does not, and how many galaxies does it take to learn it?"""

import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas
import torch

from skyloom.analysis.common import tables
from skyloom.analysis.mock_validation import difficulty, gallery
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.gallery import Gallery
from skyloom.models.inception import Config
from skyloom.models.inception.network import Inception, Objective
from skyloom.nn import redshift_density
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.images import dihedral

log = logging.getLogger(__name__)

TEST = 2000  # galaxies, from tiles that no training galaxy is of
BATCH, RATE, DECAY, WARM = 32, 2e-3, 0.05, 200
STEPS = 3000, 2000, 0.4  # of a training on so many galaxies, growing with this power of their number
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
        train = gallery.make(max(counts), seed, config, grid_path, first=-(-TEST // 300))
        log.info("%d galaxies drawn", len(test) + len(train))
        for count in sorted(counts):
            said = predictions(train[:count], test, seed)
            rows += _rows(survey, count, said, test.redshift, np.random.default_rng(seed))
            log.info("%d: %s", count, ", ".join(f"{row['model']} {row['value']:.3f}" for row in rows[-len(said) - 1 :]))
    return pandas.DataFrame(rows, columns=tables.COLUMNS)


def check(ledger: Ledger, curve: pandas.DataFrame) -> None:
    """The network's R2 less photometry's, by the largest number of training galaxies."""
    rows = curve[curve["model"] == GAIN]
    if len(rows):
        last = rows.iloc[-1]
        ledger.add("r2_z_image_gain", last["value"], last["n"])


def predictions(train: Gallery, test: Gallery, seed: int) -> dict[str, np.ndarray]:
    """Redshifts (n,) of `test` by what has learned from `train`, for each of MODELS."""
    measured = [difficulty.features(some.flux, some.ebv) for some in (train, test)]
    both = [np.hstack([seen, some.shape]) for seen, some in zip(measured, (train, test), strict=True)]
    boosted = [difficulty.boosted(one, train.redshift, other, seed) for one, other in (measured, both)]
    return {NETWORK: taught(train, seed)(test.images), PHOTOMETRY: boosted[0], STRUCTURE: boosted[1]}


def taught(train: Gallery, seed: int, steps: int | None = None):
    """A function of images (n, 3, S, S) that says mean redshifts (n,), learned from `train`."""
    begin, per, power = STEPS
    steps = steps or round(begin * (len(train) / per) ** power)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Inception(Config(image_size=gallery.SIZE), ("image",))
    objective = Objective(model)
    z, known = torch.from_numpy(train.redshift).float(), torch.zeros(len(train))

    def batch(rows) -> Batch:
        flux = torch.from_numpy(train.images[rows]).float()
        return Batch({"image": {"flux": flux}}, labels={"z": z[rows], "zwarn": known[rows]})

    order = np.random.default_rng(seed)
    first = order.permutation(len(train))[: objective.begin_samples]
    objective.begin({}, {}, [batch(first)])
    optimizer = torch.optim.AdamW(objective.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / WARM, 1) * 0.5 * (1 + np.cos(np.pi * step / steps))
    )
    objective.train()
    queue = np.zeros(0, int)
    for step in range(steps):
        if len(queue) < BATCH:
            queue = np.concatenate([queue, order.permutation(len(train))])
        rows, queue = queue[:BATCH], queue[BATCH:]
        loss, _ = objective(batch(rows), Draws(seed, step, len(rows)), step / steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return lambda images: _said(model.eval(), images)


@torch.no_grad()
def _said(model: Inception, images: np.ndarray) -> np.ndarray:
    """Means of the posteriors, over the eight flips and rotations."""
    middle, step, bins = redshift_density.LOG_SCALE
    z = torch.expm1(middle + step * torch.arange(bins))
    found = []
    for part in np.array_split(images, -(-len(images) // 256)):
        flux = torch.from_numpy(part).float()
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
