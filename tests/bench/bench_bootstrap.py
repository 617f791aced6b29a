"""Scores with intervals and differences of 10 models: 5 properties of 20,000 galaxies, 1,000 resamples.

Run: ``PYTHONPATH=workflow python tests/bench/bench_bootstrap.py [--models 10] [--galaxies 20000] [--sparse]``

It is the regression's own `Scorer`, with kNN and MLP of every model on validation (a quarter as many galaxies) and
test, every model compared with the first, p-values, and statistics of redshifts; nothing is predicted. After it a part
of the same work is done plainly, R2 of gathered rows and medians of gathered errors: the ratio is what to compare
between machines. With `--sparse` half of the models lack a tenth of the galaxies: no two of them know the same ones.
"""

import argparse
import resource
import time

import numpy as np

from skyloom.analysis.common import statistics
from skyloom.analysis.common.predictors.predict import Prediction
from skyloom.analysis.regression import Settings, redshifts
from skyloom.analysis.regression.scorer import Scorer

PROPERTIES = ["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"]


def survey(models: int, galaxies: int, sparse: bool) -> tuple[dict, list[Prediction]]:
    """Labels, some unknown, and predictions of them, each model noisier than the one before."""
    rng = np.random.default_rng(0)
    counts = {"validation": galaxies // 4, "test": galaxies}
    labels = {split: rng.normal(size=(n, len(PROPERTIES))) for split, n in counts.items()}
    for values in labels.values():
        values[:, 0] = np.abs(values[:, 0]) / 5
        values[rng.random(values.shape) < 0.02] = np.nan
    found = []
    for m in range(models):
        for method in ("knn", "mlp"):
            rows, values = {}, {}
            for split, truth in labels.items():
                keep = rng.random(len(truth)) < (0.9 if sparse and m % 2 else 1)
                rows[split] = np.flatnonzero(keep)
                values[split] = truth[keep] + 0.02 * (m + 3) * rng.normal(size=truth[keep].shape)
            chosen = [{"components": 8}] * len(PROPERTIES)
            found.append(Prediction(f"model_{m}", "spectrum", method, {"kind": f"kind_{m}"}, values, rows, chosen))
    return labels, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("models", 10), ("galaxies", 20_000), ("resamples", 1000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--sparse", action="store_true")
    config = parser.parse_args()
    labels, predictions = survey(config.models, config.galaxies, config.sparse)
    differences = [[f"model_{m}", "model_0"] for m in range(1, config.models)]
    settings = Settings(resamples=config.resamples, differences=differences)
    start, used = time.perf_counter(), time.process_time()
    rows = Scorer("made_up", PROPERTIES, labels, settings, 0).rows(predictions)
    ours, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    count = sum(row["metric"] == "delta_r2" for row in rows)
    print(f"{len(rows)} rows, {count} differences: {ours:.1f} s, {used:.1f} s of CPU; peak memory {peak:.2f} GiB")

    truth, prediction = labels["test"][:, 0], predictions[0].values["test"][:, 0]
    known = np.isfinite(truth[predictions[0].rows["test"]])
    truth, prediction = truth[predictions[0].rows["test"]][known], prediction[known]
    start = time.perf_counter()
    plain = statistics.bootstrap(statistics.r2, truth, prediction, count=config.resamples)
    r2_s = time.perf_counter() - start
    start = time.perf_counter()
    medians = statistics.bootstrap(statistics.sigma_nmad, truth, prediction, count=config.resamples)
    nmad_s = time.perf_counter() - start
    start = time.perf_counter()
    fast = redshifts.bootstrap(truth, prediction[None], config.resamples)["sigma_nmad"][0]
    fast_s = time.perf_counter() - start
    assert np.allclose(medians, fast, rtol=1e-9) and np.isfinite(plain).all()
    sources = 2 * config.models * 1.25  # validation is a quarter
    expected = (len(PROPERTIES) * (sources + 4 * (config.models - 1)) * r2_s) + 2 * sources * nmad_s
    print(f"one source plainly: R2 {r2_s:.2f} s, sigma_NMAD {nmad_s:.2f} s (ours alone {fast_s:.2f} s)")
    print(f"all that plainly about {expected:.0f} s, ratio {expected / ours:.0f}")


if __name__ == "__main__":
    main()
