"""Galaxy properties from embeddings: zero-shot kNN, few-shot MLP, baselines, and who is better than whom.

Every model is scored on the same galaxies. What is chosen (k, metric, PCA components, epochs) is chosen on the
validation split by R2, property by property; the test split is only scored.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.common import heads, neighbours, statistics, tables
from skyloom.analysis.common.embeddings import Embedding, common_galaxies, read_embeddings
from skyloom.analysis.regression import figures
from skyloom.core.errors import BadInput

log = logging.getLogger(__name__)

DEFAULTS = {
    "properties": ["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"],
    "k": [64],  # published; several: chosen on validation
    "weights": "distance",
    "metric": ["euclidean"],  # of standardised embeddings; "cosine" L2-normalises them first
    "components": [4, 8, 16, 32, 64],  # of the PCA baseline, chosen on validation
    "whitened": [
        0,
        4,
        8,
        16,
    ],  # leading principal components of an embedding, whitened, in which kNN looks; 0: all, as is
    "hidden": 64,
    "dropout": 0.1,
    "learning_rate": 1e-3,
    "batch_size": 64,
    "epochs": [10],  # published; several: chosen on validation
    "resamples": 1000,
    "seed": 0,
    "differences": [
        ["specformer", "specformer_untrained"],
        ["astrodino", "astrodino_untrained"],
        ["specformer", "pca_spectrum"],
        ["astrodino", "pca_image"],
        ["astroclip", "specformer"],
        ["astroclip", "astrodino"],
        ["astroclip", "photometry"],
    ],
}
BANDS = ("g", "r", "z")
# |dz| limits of the outlier rate: photometric, and spectroscopic redshifts
OUTLIERS = (0.15, 0.05)


@dataclasses.dataclass(frozen=True)
class Source:
    """Features of one model: (n, d) for each split.

    `widths`: how many leading columns to try (PCA components); `whitened`: how many whitened principal components of
    the features kNN tries, 0 for the features themselves.
    """

    model: str
    modality: str
    features: dict[str, np.ndarray]
    widths: tuple[int, ...]
    standardise: bool = True
    few_shot: bool = True
    whitened: tuple[int, ...] = (0,)

    def candidates(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Width and features, standardised by the training split."""
        for width in self.widths:
            cut = [self.features[split][:, :width] for split in ("train", "validation", "test")]
            cut = neighbours.standardise(*cut) if self.standardise else cut
            yield width, dict(zip(("train", "validation", "test"), cut, strict=True))


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predictions (n, P) on validation and test, and what was chosen for each property."""

    model: str
    modality: str
    method: str
    values: dict[str, np.ndarray]
    chosen: list[dict[str, float]]


def regress(survey: str, galaxies_path, splits_path, embedding_paths, outputs: dict, config: dict) -> None:
    """Score all embeddings and baselines of a survey.

    Parameters
    ----------
    galaxies_path, splits_path : galaxies.parquet (targetid, properties, mag_g, mag_r, mag_z), splits.parquet
    embedding_paths : files MODEL-MODALITY.parquet
    outputs : paths `table` (csv), `predictions` (parquet), `figure_predictions` and `figure_scores` (png)
    config : any of DEFAULTS
    """
    config = tables.settings(DEFAULTS, config, "regression")
    properties = config["properties"]
    columns = dict.fromkeys([*properties, *(f"mag_{band}" for band in BANDS)])
    galaxies = tables.read_galaxies(galaxies_path, splits_path, columns)
    mags = galaxies[[f"mag_{band}" for band in BANDS]].to_numpy(float)
    galaxies = galaxies[np.isfinite(mags).all(axis=1)]
    log.info("%d of %d galaxies have no finite g, r, z magnitude: left out", len(mags) - len(galaxies), len(mags))
    embeddings = read_embeddings(embedding_paths)
    galaxies = galaxies.loc[common_galaxies(embeddings, galaxies)]
    samples = {split: galaxies[galaxies["split"] == split] for split in ("train", "validation", "test")}
    for split, sample in samples.items():
        if len(sample) < 2:
            raise BadInput(f"{galaxies_path}: {len(sample)} galaxies of the {split} split have every embedding; need 2")
    labels = {split: sample[properties].to_numpy(float) for split, sample in samples.items()}
    for name, column in zip(properties, labels["train"].T, strict=True):
        if not np.isfinite(column).any():
            raise BadInput(
                f"{galaxies_path}: column {name} has no finite value in the training split; "
                f"expected some, or no {name} in analyses.regression.properties"
            )
    predictions = []
    for source in sources(samples, embeddings, config):
        predictions += [predict(source, labels, config, method) for method in methods(source)]
        log.info("%s-%s predicted", source.model, source.modality)
    table = pandas.DataFrame(
        [*score(survey, predictions, labels, config), *compare(survey, predictions, labels, config)]
    )
    frame = prediction_frame(predictions, samples["test"].index.to_numpy(), labels["test"], properties)
    tables.write_csv(outputs["table"], table)
    tables.write_parquet(outputs["predictions"], frame)
    figures.draw_predictions(frame, table, outputs["figure_predictions"])
    figures.draw_scores(table, properties, outputs["figure_scores"])


def sources(samples: dict[str, pandas.DataFrame], embeddings: list[Embedding], config: dict) -> list[Source]:
    """Photometry, every embedding, and image queries among spectra for models that embed both in one space."""
    mags = {split: sample[[f"mag_{band}" for band in BANDS]].to_numpy(float) for split, sample in samples.items()}
    found = [Source("photometry", "photometry", mags, (len(BANDS),))]
    features = {e.name: {split: e.of(sample.index.to_numpy()) for split, sample in samples.items()} for e in embeddings}
    for e in embeddings:
        width = e.values.shape[1]
        widths = sorted({min(width, c) for c in config["components"]}) if is_pca(e.model) else [width]
        whitened = (0,) if is_pca(e.model) else tuple(n for n in config["whitened"] if n <= width)
        found.append(Source(e.model, e.modality, features[e.name], tuple(widths), whitened=whitened))
    for query, reference in itertools.permutations(embeddings, 2):
        if query.model == reference.model == "astroclip":
            crossed = {**features[query.name], "train": features[reference.name]["train"]}
            name = f"{query.modality}->{reference.modality}"
            width = query.values.shape[1]
            found.append(Source(query.model, name, crossed, (width,), standardise=False, few_shot=False))
    return found


def is_pca(model: str) -> bool:
    """PCA models are named `pca` or `pca_...`; their columns are ordered: the first few make a model of their own."""
    return model.split("_")[0] == "pca"


def methods(source: Source) -> list[str]:
    return ["knn", "mlp"] if source.few_shot else ["knn"]


def predict(source: Source, labels: dict[str, np.ndarray], config: dict, method: str) -> Prediction:
    """For each property, the predictions of the candidate that does best on the validation split."""
    candidates = list((knn if method == "knn" else mlp)(source, labels["train"], config))
    validation = labels["validation"]
    count = validation.shape[1]
    values = {split: np.full((len(labels[split]), count), np.nan) for split in ("validation", "test")}
    chosen = []
    for p in range(count):
        known = np.isfinite(validation[:, p])
        scores = [_score(validation[known, p], got["validation"][known, p]) for _, got in candidates]
        setting, best = candidates[int(np.argmax(scores))]
        chosen.append(setting)
        for split in values:
            values[split][:, p] = best[split][:, p]
    return Prediction(source.model, source.modality, method, values, chosen)


def knn(source: Source, train: np.ndarray, config: dict) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Predictions on validation and test for each width, metric and k."""
    metrics = config["metric"] if source.standardise else ["cosine"]
    for (width, scaled), metric, count in itertools.product(source.candidates(), metrics, source.whitened):
        features = dict(zip(scaled, neighbours.whiten(count, *scaled.values()), strict=True)) if count else scaled
        found = {
            k: {s: np.full((len(features[s]), train.shape[1]), np.nan) for s in ("validation", "test")}
            for k in config["k"]
        }
        for known, members in _same_galaxies(train):
            for split in ("validation", "test"):
                reference = features["train"][known]
                distance, index = neighbours.nearest(features[split], reference, max(config["k"]), metric)
                for k, p in itertools.product(config["k"], members):
                    near = train[known, p][index[:, :k]]
                    found[k][split][:, p] = neighbours.average(distance[:, :k], near, config["weights"])
        for k in config["k"]:
            yield {"components": count or width, "metric": metric, "k": k}, found[k]


def mlp(source: Source, train: np.ndarray, config: dict) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Predictions on validation and test for each width and number of epochs."""
    for width, features in source.candidates():
        queries = np.concatenate([features["validation"], features["test"]])
        for epochs, got in heads.fit_predict(features["train"], train, queries, config).items():
            validation, test = np.split(got, [len(features["validation"])])
            yield {"components": width, "epochs": epochs}, {"validation": validation, "test": test}


def score(survey: str, predictions: list[Prediction], labels: dict, config: dict) -> Iterator[dict]:
    """Rows of R2 (and redshift statistics) on validation and test, and of what was chosen."""
    for got, (p, name) in itertools.product(predictions, enumerate(config["properties"])):
        key = (survey, got.model, got.modality, got.method, name)
        yield from _choices(key, got, p, len(labels["validation"]), config)
        for split, values in got.values.items():
            known = np.isfinite(labels[split][:, p])
            truth, prediction, n = labels[split][known, p], values[known, p], known.sum()
            drawn = statistics.bootstrap_r2(truth, prediction, config["resamples"], config["seed"])
            yield tables.row(*key, split, "r2", statistics.r2(truth, prediction), statistics.interval(drawn), n)
            if name == "z":
                yield from _redshift_rows(key, split, truth, prediction, config)


def compare(survey: str, predictions: list[Prediction], labels: dict, config: dict) -> Iterator[dict]:
    """Rows delta_r2 of model A minus model B on the same test galaxies, with paired intervals."""
    by_key = {(p.model, p.modality, p.method): p for p in predictions}
    modalities = sorted({p.modality for p in predictions if "->" not in p.modality})
    for (a, b), modality, method in itertools.product(config["differences"], modalities, ("knn", "mlp")):
        first, second = (by_key.get((m, modality, method)) or by_key.get((m, m, method)) for m in (a, b))
        if first is None or second is None or modality == "photometry":
            continue
        for p, name in enumerate(config["properties"]):
            known = np.isfinite(labels["test"][:, p])
            truth = labels["test"][known, p]
            pair = [got.values["test"][known, p] for got in (first, second)]
            value, ci = statistics.difference_r2(truth, *pair, config["resamples"], config["seed"])
            yield tables.row(survey, f"{a} - {b}", modality, method, name, "test", "delta_r2", value, ci, known.sum())


def prediction_frame(predictions: list[Prediction], targetid, truth: np.ndarray, properties) -> pandas.DataFrame:
    """Test predictions in long form: targetid, model, modality, method, property, truth, prediction."""
    parts = []
    for got, (p, name) in itertools.product(predictions, enumerate(properties)):
        part = {"targetid": targetid, "model": got.model, "modality": got.modality, "method": got.method}
        part |= {"property": name, "truth": truth[:, p], "prediction": got.values["test"][:, p]}
        parts.append(pandas.DataFrame(part))
    return pandas.concat(parts, ignore_index=True)


def _same_galaxies(labels: np.ndarray) -> list[tuple[np.ndarray, list[int]]]:
    """Properties grouped by which galaxies have a label, so that neighbours are searched once a group."""
    groups: dict[bytes, tuple[np.ndarray, list[int]]] = {}
    for p in range(labels.shape[1]):
        known = np.isfinite(labels[:, p])
        groups.setdefault(known.tobytes(), (known, []))[1].append(p)
    return list(groups.values())


def _score(truth: np.ndarray, prediction: np.ndarray) -> float:
    value = statistics.r2(truth, prediction) if len(truth) else np.nan
    return float(value) if np.isfinite(value) else -np.inf


def _choices(key: tuple, got: Prediction, p: int, n: int, config: dict) -> Iterator[dict]:
    # Only what had an alternative is worth a row.
    if is_pca(got.model) or (got.method == "knn" and len(config["whitened"]) > 1):
        yield tables.row(*key, "validation", "chosen_components", got.chosen[p]["components"], n=n)
    for name in ("k", "epochs"):
        if name in got.chosen[p] and len(config[name]) > 1:
            yield tables.row(*key, "validation", f"chosen_{name}", got.chosen[p][name], n=n)


def _redshift_rows(key: tuple, split: str, truth: np.ndarray, prediction: np.ndarray, config: dict) -> Iterator[dict]:
    metrics = {"bias": statistics.bias, "sigma_nmad": statistics.sigma_nmad}
    for limit in OUTLIERS:
        metrics[f"outliers_{limit}"] = lambda t, p, limit=limit: statistics.outlier_rate(t, p, limit)
    for name, function in metrics.items():
        drawn = statistics.bootstrap(function, truth, prediction, count=config["resamples"], seed=config["seed"])
        yield tables.row(*key, split, name, function(truth, prediction), statistics.interval(drawn), len(truth))
