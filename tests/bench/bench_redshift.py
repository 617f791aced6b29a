"""Cost of a redshift, by the network alone and with the fit, beside the template fit that makes the mock's catalogue.

Run after the default run: ``PYTHONPATH=workflow python tests/bench/bench_redshift.py [survey folder] [spectra]``. The
three take turns on the same spectra in one process of one thread; printed are CPU seconds, the least of the turns, and
ratios.
"""

import glob
import sys
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from skyloom.mock.instruments.spectrograph.redshift_fit import Fitter
from skyloom.mock.universe.light.ssp import load_grid
from skyloom.models import networks
from skyloom.nn.batch import Batch
from skyloom.tokens.store import Shards

BATCH, TURNS = 64, 3


def main():
    survey = Path(sys.argv[1] if len(sys.argv) > 1 else "results/mock_spectra")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    torch.set_num_threads(1)
    model, _ = networks.load(survey / "models/redshift")
    shards = Shards(sorted(glob.glob(str(survey / "tokens/spectrum/shard-*.h5"))))
    data = shards.read(np.random.default_rng(0).permutation(len(shards))[:count], ["flux", "ivar"])
    flux, ivar = data["flux"], data["ivar"]
    fitter = Fitter.of(load_grid(survey.parent / "downloads/ssp_grid.h5"))
    some = min(len(flux), 64)  # of the slowest
    ways = {
        "class, redshift and posterior": (len(flux), lambda: predict(model, flux, ivar, False)),
        "the same, with the fit around the peaks": (len(flux), lambda: predict(model, flux, ivar, True)),
        "template fit of the mock's catalogue": (some, lambda: fitter.fit(flux[:some], ivar[:some])),
    }
    with threadpool_limits(1):
        seconds = {name: [] for name in ways}
        for _ in range(TURNS):
            for name, (n, way) in ways.items():
                before = time.process_time()
                way()
                seconds[name].append((time.process_time() - before) / n)
    slowest = min(seconds["template fit of the mock's catalogue"])
    for name, values in seconds.items():
        least = min(values)
        print(f"{name}: {1e3 * least:.2f} ms, {1 / least:,.0f} a second and core, {slowest / least:.1f} times the fit")


def predict(model, flux: np.ndarray, ivar: np.ndarray, refine: bool) -> None:
    model.config = model.config.model_copy(update={"refine": refine})
    with torch.inference_mode():
        for start in range(0, len(flux), BATCH):
            values = {"flux": flux[start : start + BATCH], "ivar": ivar[start : start + BATCH]}
            model.predict(Batch({model.modality: {k: torch.from_numpy(v) for k, v in values.items()}}), "redshift")


if __name__ == "__main__":
    main()
