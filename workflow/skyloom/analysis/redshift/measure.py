"""The redshift table of a survey, the posteriors, and how right they are where the redshift is known."""

import logging

import numpy as np
import pandas
import torch

from skyloom.analysis.common import tables
from skyloom.analysis.common.posteriors import read_log_scale
from skyloom.analysis.redshift import Settings, again, brightest, compare, figures, posteriors, scores
from skyloom.core.errors import BadInput
from skyloom.models import networks
from skyloom.models.redshift import CLASSES, FLAGS
from skyloom.nn.batch import Batch
from skyloom.settings.analysis import Job
from skyloom.tokens.store import Shards

log = logging.getLogger(__name__)

SAID = (
    *("z", "zerr", "probability", "z_second", "probability_second", "p_qso"),
    *("delta_chi2", "reduced_chi2", "good", "flag", "z_network", "class"),
)
KNOWN = (
    *("z", "z_true", "zwarn", "spectype", "spectype_true"),
    *("spectrum_file", "spectrum_row", "identifier", "ivar_estimated"),
)
NETWORK, FIT, CATALOGUE = "network", "network and fit", "catalogue"
BRIGHTEST = "the brightest line is H-alpha"


def measure_redshift(job: Job) -> None:
    """Write the table, the scores, the posteriors and the figures.

    Inputs: predictions (of the query redshift), model (weights, card), galaxies, splits, tokens; and of the embeddings
    to compare embeddings, reference (of the host), reference_galaxies, reference_splits.

    Where a survey has a training split, scores and posteriors are of its test split alone.
    """
    settings: Settings = job.settings
    table = redshifts(job)
    log_scale = read_log_scale(job.one("predictions"))
    table["credible_level"] = credible_levels(job.one("predictions"), log_scale, table)
    tables.write_csv(job.outputs["table"], table)
    shown = table[(table["split"] == "test").to_numpy()] if (table["split"] == "train").any() else table
    validation = table[(table["split"] == "validation").to_numpy()]
    scored = pandas.DataFrame(list(all_scores(job, shown, validation)), columns=scores.COLUMNS)
    tables.write_csv(job.outputs["scores"], scored, scores.COLUMNS)
    write_posteriors(job, shown["targetid"].to_numpy(), log_scale)
    figures.draw_redshifts(shown, scored, settings, job.outputs["figure"])
    some = examples(shown, settings.shown)
    figures.draw_fits(some, fits(job, some), densities(job, some["targetid"], log_scale), job.outputs["fits"])
    log.info("%d spectra, %d without flag", len(table), (table["flag"] == 0).sum())


def redshifts(job: Job) -> pandas.DataFrame:
    """A row a spectrum: what is measured, what is known, and the reasons for doubt in words."""
    said = tables.read_parquet(job.one("predictions"), ["targetid", "split", *SAID]).set_index("targetid")
    there = set(tables.column_names(job.one("galaxies")))
    known = tables.read_galaxies(job.one("galaxies"), columns=[name for name in KNOWN if name in there])
    known = known.reindex(said.index)
    table = said.rename(columns={"class": "number"})
    table["class"] = np.array(CLASSES)[said["class"].to_numpy(int)]
    table["doubt"] = [words(flag) for flag in said["flag"]]
    true = known.get("z_true", pandas.Series(np.nan, known.index))
    table["z_catalogue"] = known["z"]
    table["z_known"] = true.where(true.notna(), known["z"])
    spectype, put_in = (
        known.get(name, pandas.Series("", known.index)).fillna("") for name in ("spectype", "spectype_true")
    )
    table["class_known"] = put_in.where(put_in != "", spectype)
    table["zwarn"] = known.get("zwarn", pandas.Series(-1, known.index))
    table["dz"] = scores.error(table["z"], table["z_known"])
    for name in ("spectrum_file", "spectrum_row", "identifier", "ivar_estimated"):
        if name in known:
            table[name] = known[name]
    first = [name for name in ("identifier",) if name in table]
    columns = [*first, "split", "class", "z", "zerr", "probability", "flag", "doubt", "z_second", "probability_second"]
    columns += [
        "p_qso",
        "delta_chi2",
        "reduced_chi2",
        "good",
        "z_network",
        "z_known",
        "class_known",
        "z_catalogue",
        "zwarn",
        "dz",
    ]
    columns += [name for name in ("spectrum_file", "spectrum_row", "ivar_estimated") if name in table]
    return table[columns].reset_index()


def words(flag: int) -> str:
    """The reasons for doubt behind a flag, in words."""
    return "; ".join(name.replace("_", " ") for name, bit in FLAGS.items() if flag & bit)


def all_scores(job: Job, shown: pandas.DataFrame, validation: pandas.DataFrame):
    """Tidy rows for every method and group, and completeness at the purity asked for."""
    settings: Settings = job.settings
    known = shown["z_known"].to_numpy(float)
    quasar, star = (shown["class_known"] == name for name in ("QSO", "STAR"))
    found = scores.groups(known, quasar.to_numpy(), star.to_numpy(), shown["zwarn"].to_numpy())
    methods = {FIT: (shown["z"], shown["flag"] == 0), NETWORK: (shown["z_network"], None)}
    if (shown["z_catalogue"] != shown["z_known"]).any() and shown["z_catalogue"].notna().any():
        methods[CATALOGUE] = (shown["z_catalogue"], None)
    targetid = shown["targetid"].to_numpy()
    methods[BRIGHTEST] = (brightest.redshifts(job.inputs["tokens"], targetid), None)
    methods |= {name: (values, None) for name, values in compare.others(job, targetid)}
    for method, (z, accepted) in methods.items():
        for group, mask in found.items():
            dz = scores.error(np.asarray(z, float)[mask], known[mask])
            some = None if accepted is None else accepted.to_numpy()[mask]
            limit = settings.right_quasar if group == "quasars" else settings.right
            yield from scores.rows(method, group, dz, some, limit)
    for group, mask in found.items():
        promised = (shown[name].to_numpy(float)[mask] for name in ("probability", "credible_level"))
        yield from scores.trust(FIT, group, *promised)
    yield from loss(job, shown)
    if len(validation):
        least = scores.threshold(validation["probability"].to_numpy(), right(validation, settings), settings.purity)
        hits, kept = right(shown, settings), shown["probability"].to_numpy() >= least
        yield scores.row(FIT, "all", f"probability for purity {settings.purity:g} (validation)", least, len(validation))
        yield scores.share(FIT, "all", "completeness at that probability", (hits & kept).sum(), len(shown))
        yield scores.share(FIT, "all", "purity at that probability", (hits & kept).sum(), int(kept.sum()))


def loss(job: Job, shown: pandas.DataFrame):
    """Tidy rows of what is lost on the same spectra when nobody says how noisy they are."""
    settings: Settings = job.settings
    some = again.chosen(shown, settings.without_ivar)
    if len(some) < scores.LEAST:
        return
    known, was = some["z_known"].to_numpy(float), right(some, settings)
    quasar, star = (some["class_known"] == name for name in ("QSO", "STAR"))
    found = scores.groups(known, quasar.to_numpy(), star.to_numpy(), some["zwarn"].to_numpy())
    limit = np.where(quasar, settings.right_quasar, settings.right)
    if len(some) < len(shown):
        for group, mask in found.items():
            accepted = (some["flag"] == 0).to_numpy()[mask]
            yield from scores.rows(
                f"{FIT}, {len(some)} of them", group, some["dz"].to_numpy()[mask], accepted, limit[mask]
            )
    model = networks.load(model_folder(job))[0]
    for name, said in again.without_ivar(model, Shards(job.inputs["tokens"]), some["targetid"].to_numpy()):
        dz = scores.error(said["z"], known)
        now = np.abs(np.nan_to_num(dz, nan=np.inf)) < limit
        for group, mask in found.items():
            yield from scores.rows(f"{FIT}, {name}", group, dz[mask], (said["flag"] == 0)[mask], limit[mask])
            yield scores.share(f"{FIT}, {name}", group, "lost", (was & ~now)[mask].sum(), int(mask.sum()))
            yield scores.share(f"{FIT}, {name}", group, "gained", (now & ~was)[mask].sum(), int(mask.sum()))


def credible_levels(path: str, log_scale: np.ndarray, table: pandas.DataFrame) -> np.ndarray:
    """(n,) `scores.credible_level` of the known redshifts of a table; NaN where none is known."""
    known = pandas.Series(np.log1p(table["z_known"].to_numpy(float)), table["targetid"])
    step = log_scale[1] - log_scale[0]
    found = pandas.Series(np.nan, table["targetid"])
    for targetid, probability in posteriors.blocks(path):
        place = (known.reindex(targetid).to_numpy() - log_scale[0]) / step
        some = np.isfinite(place)
        level = scores.credible_level(probability[some], place[some].round().astype(int))
        found.loc[targetid[some]] = level
    return found.to_numpy()


def right(table: pandas.DataFrame, settings: Settings) -> np.ndarray:
    """Which redshifts (n,) are right, by the limit of their class."""
    limit = np.where(table["class_known"] == "QSO", settings.right_quasar, settings.right)
    return (table["dz"].abs() < limit).to_numpy()


def write_posteriors(job: Job, targetid: np.ndarray, log_scale: np.ndarray) -> None:
    """The posteriors of these spectra as a qp ensemble."""
    kept, names = [], []
    for some, values in posteriors.blocks(job.one("predictions")):
        wanted = np.isin(some, targetid)
        kept.append(values[wanted])
        names.append(some[wanted])
    posteriors.write_qp(job.outputs["posteriors"], np.concatenate(names), log_scale, kept)


def examples(table: pandas.DataFrame, count: int) -> pandas.DataFrame:
    """Spectra to draw: known redshifts first, then those in the middle of parts alike in number by redshift found."""
    known = table[table["z_known"].notna()]
    some = known if len(known) >= count else table
    order = some.sort_values("z", kind="stable")
    count = min(count, len(order))
    return order.iloc[((np.arange(count) + 0.5) * len(order) / max(count, 1)).astype(int)]


def densities(job: Job, targetid, log_scale: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """targetid -> (z (G,), probability of each bin)."""
    found = {}
    for some, values in posteriors.blocks(job.one("predictions")):
        for row in np.flatnonzero(np.isin(some, targetid)):
            found[int(some[row])] = (np.expm1(log_scale), values[row])
    return found


def model_folder(job: Job) -> str:
    """Where the weights and the card of the model lie."""
    return next(path for path in job.inputs["model"] if path.endswith("model.json")).rpartition("/")[0]


def fits(job: Job, table: pandas.DataFrame) -> list[figures.Fit]:
    """Spectra and their fits, in bins of equal velocity."""
    if not len(table):
        return []
    model, _ = networks.load(model_folder(job))
    shards = Shards(job.inputs["tokens"])
    rows = shards.rows(table["targetid"].to_numpy())
    if (rows < 0).any():
        lacking = table["targetid"].iloc[int(np.argmax(rows < 0))]
        raise BadInput(f"{shards.paths[0]}: targetid {lacking} has a redshift but no spectrum in the token shards")
    data = {name: torch.from_numpy(values) for name, values in shards.read(rows, ["flux", "ivar"]).items()}
    batch = Batch({model.modality: data})
    kind = torch.tensor([CLASSES.index(name) for name in table["class"]])
    curve = model.fitted(batch, kind, torch.tensor(table["z"].to_numpy()))
    flux, ivar = model.binned(batch)
    centres, fine = model.grid.centres, model.fine.centres
    return [
        figures.Fit(centres, np.where(i > 0, f, np.nan), fine, c)
        for f, i, c in zip(flux.numpy(), ivar.numpy(), curve.numpy(), strict=True)
    ]
