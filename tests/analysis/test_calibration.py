"""Posteriors from embeddings: heads that find what is there, intervals that hold, misses that are told."""

import copy
import json

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from scipy import stats

from skyloom.analysis.calibration import Settings, calibrate, heads, present, scores
from skyloom.analysis.common import conformal, quality, tables
from skyloom.analysis.common.blocks import Claim, Figure, Scores, Shown
from skyloom.analysis.common.blocks import Table as Lines
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.common.densities import tabulate
from skyloom.analysis.common.posteriors import PosteriorFile
from skyloom.core.errors import BadConfig, BadInput
from skyloom.settings.config import load
from skyloom.tokens.store import write_shard
from tests.paths import ROOT

from . import synthetic

SETTINGS = Settings(epochs=40, hidden=64)
QUICK = {"epochs": 8, "hidden": 32, "components": 4, "properties": ["z", "log_mstar", "log_ssfr"]}
NAMES = ("specformer-spectrum", "specformer_untrained-spectrum", "astrodino-image")


def bimodal(n, seed):
    """x (n, 2) and a property with two branches and a scatter that grows with x; the logarithm of its density."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    branch, width = 1.5 + x[:, 0], 0.1 * np.exp(x[:, 1])
    y = rng.choice([-1, 1], n) * branch + width * rng.normal(size=n)
    pdf = (stats.norm.pdf(y, branch, width) + stats.norm.pdf(y, -branch, width)) / 2
    return x, y, np.log(pdf)


def single(x):
    return heads.Inputs(x, np.ones((len(x), 1), bool), [x.shape[1]])


@pytest.fixture(scope="module")
def head():
    x, y, _ = bimodal(4000, 0)
    labels = np.stack([7 + 100 * y, np.where(np.arange(4000) % 3, y, np.nan)], axis=1)
    return heads.train(single(x), labels, np.arange(4000) % 10 == 0, SETTINGS.plain(), 0)


def test_a_head_finds_both_branches_and_their_widths(head):
    x, y, best = bimodal(2000, 1)
    for p, truth, offset in ((0, 7 + 100 * y, np.log(100)), (1, y, 0)):
        table = tabulate(head.mixtures(single(x))[p], truth)
        assert best.mean() - offset - 0.2 < table.log_density.mean() < best.mean() - offset + 0.05
        low, high = table.interval(0.9)
        assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.9, abs=0.03)
    quantiles = table.at([0.45, 0.55])  # the valley between the branches is a jump of the quantiles
    assert np.median((quantiles[:, 1] - quantiles[:, 0]) / (2 * (1.5 + x[:, 0]))) > 0.8


def test_the_conformal_step_makes_intervals_hold(head):
    (x, y, _), (other, truth, _) = bimodal(3000, 2), bimodal(3000, 3)
    family = head.mixtures(single(other))[1]
    for wrong in (0.5, 2):  # a head that is too sure, and one that is not sure enough
        spoil = lambda f, by=wrong: type(f)(f.weights, f.means, f.sigmas * by)  # noqa: E731
        step = Recalibration.of(spoil(head.mixtures(single(x))[1]).cdf(y))
        table = tabulate(spoil(family), truth, step)
        for level in (0.5, 0.68, 0.9, 0.95):
            low, high = table.interval(level)
            share = ((low <= truth) & (truth <= high)).mean()
            assert share == pytest.approx(level, abs=4 * (level * (1 - level) * 2 / 3000) ** 0.5)
        raw = tabulate(spoil(family), truth).pit
        assert conformal.uniformity(raw) < 1e-4 < conformal.uniformity(table.pit, step.n)


def test_the_same_seed_gives_the_same_head():
    x, y, _ = bimodal(300, 4)
    args = (single(x), y[:, None], np.arange(300) % 10 == 0, Settings(epochs=2).plain())
    one, same, other = (heads.train(*args, seed).mixtures(single(x))[0].means for seed in (5, 5, 6))
    assert (one == same).all() and not (one == other).all()


def test_a_pair_answers_with_one_of_its_two_alone_and_best_with_both():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(3000, 2)).astype(np.float32)
    y, values = latent.sum(axis=1) + 0.1 * rng.normal(size=3000), latent + 0.0
    there = rng.random((3000, 2)) < 0.8
    there[~there.any(axis=1), 0] = True
    values[~there] = np.nan  # what is not there is not looked at
    pair = heads.Inputs(values, there, [1, 1])
    head = heads.train(pair, y[:, None], np.arange(3000) % 10 == 0, SETTINGS.plain(), 0)
    widths = []
    for given in heads.ways(2):
        low, high = tabulate(head.mixtures(heads.Inputs(latent, np.tile(given, (3000, 1)), [1, 1]))[0], y).interval(0.9)
        assert ((low <= y) & (y <= high)).mean() == pytest.approx(0.9, abs=0.07)
        widths.append(np.median(high - low))
    alone = 2 * 1.645 * (1 + 0.01) ** 0.5
    assert widths[0] < 0.35 * alone and widths[1:] == pytest.approx([alone, alone], rel=0.1)


def test_a_hidden_part_of_a_pair_leaves_no_trace():
    rng = np.random.default_rng(1)
    values, y = rng.normal(size=(200, 3)).astype(np.float32), rng.normal(size=(200, 1))
    head = heads.train(heads.Inputs(values, np.ones((200, 2), bool), [1, 2]), y, np.arange(200) < 40,
                       Settings(epochs=2).plain(), 0)  # fmt: skip
    first = np.tile([True, False], (200, 1))
    changed = values.copy()
    changed[:, 1:] = 1e6
    one, same = (head.mixtures(heads.Inputs(v, first, [1, 2]))[0].means for v in (values, changed))
    assert (one == same).all()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A survey with spectra, and its calibration with a pair."""
    folder = tmp_path_factory.mktemp("calibration")
    survey = synthetic.survey(folder, n=(1500, 500, 500), models=NAMES)
    galaxies = survey["table"].assign(spectype=np.where(np.arange(2500) % 7, "GALAXY", "QSO"))
    tables.write_parquet(survey["galaxies"], galaxies.drop(columns="split"))
    rng = np.random.default_rng(0)
    flux, ivar = rng.normal(5, 1, (2500, 31)), rng.uniform(1, 4, (2500, 1)) * np.ones((1, 31))
    write_shard(folder / "spectrum.h5", galaxies["targetid"].to_numpy(), {"flux": flux, "ivar": ivar})
    return survey | {"folder": folder, "galaxy_table": galaxies}


def run(world, folder, settings=None, **changed):
    paired = [path for path in world["embeddings"] if path.stem in ("specformer-spectrum", "astrodino-image")]
    inputs = {key: world[key] for key in ("galaxies", "splits", "embeddings")}
    inputs |= {"paired": paired, "predictions": [], "tokens": [str(world["folder"] / "spectrum.h5")]}
    return synthetic.run("calibration", inputs | changed, folder, QUICK | (settings or {}))


@pytest.fixture(scope="module")
def outputs(world):
    return run(world, world["folder"] / "out", {"pairs": [["specformer-spectrum", "astrodino-image"]]})


@pytest.fixture(scope="module")
def table(outputs):
    return pandas.read_csv(outputs["table"]).fillna({"holds": "", "given": ""})


def test_every_source_and_way_of_asking_has_its_rows(table):
    assert list(table) == scores.COLUMNS
    asked = set(zip(table["source"], table["given"], strict=True))
    pair = "specformer-spectrum+astrodino-image"
    assert asked == {
        *(("photometry", "photometry"), ("specformer-spectrum", "spectrum"), ("astrodino-image", "image")),
        *((pair, "spectrum+image"), (pair, "spectrum"), (pair, "image"), ("specformer_untrained-spectrum", "spectrum")),
    }
    assert set(table["property"]) == {"z", "log_mstar", "log_ssfr"}
    assert set(table["group"]) == {"overall", "z", "mag_r", "snr", "spectype", "estimate"}
    overall = table[table["group"] == "overall"].set_index(["source", "given", "property"])
    assert overall.loc[("photometry", "photometry", "z"), "n"] == 500
    assert overall.loc[("photometry", "photometry", "log_ssfr"), "n"] == 490
    assert not overall.loc["specformer_untrained-spectrum"]["trained"].any()


def test_intervals_hold_within_what_chance_allows(table):
    overall = table[table["group"] == "overall"]
    for level in scores.COVERED:
        chance = [
            conformal.by_chance(level / 100, n, m) for n, m in zip(overall["n"], overall["calibrated_on"], strict=True)
        ]
        p = [c.cdf(round(s * n)) for c, s, n in zip(chance, overall[f"coverage{level}"], overall["n"], strict=True)]
        assert min(p) > 1e-4 and max(p) < 1 - 1e-4
    assert (overall["pit_p"] > 1e-4).all()
    assert (overall["coverage90_low"] <= overall["coverage90"]).all()
    assert overall["calibrated_on"].between(480, 500 + 360).all() and overall["calibrated_on"].max() > 700


def test_better_sources_have_smaller_scores(table):
    crps = table[table["group"] == "overall"].set_index(["source", "given", "property"])[["crps", "width90"]]
    pair = "specformer-spectrum+astrodino-image"
    for name in ("log_mstar", "log_ssfr"):
        for column in crps:
            value = crps[column]
            assert value["specformer-spectrum", "spectrum", name] < value["astrodino-image", "image", name]
            assert value["astrodino-image", "image", name] < value["specformer_untrained-spectrum", "spectrum", name]
            assert value[pair, "spectrum+image", name] < value[pair, "image", name]


def test_bins_hold_all_galaxies_and_are_judged_when_large_enough(table):
    rows = table[(table["source"] == "photometry") & (table["property"] == "z")]
    for group in ("z", "mag_r", "snr", "estimate"):
        mine = rows[rows["group"] == group]
        assert mine["n"].tolist() == [250, 250] and set(mine["holds"]) <= {"yes", "no"}
        assert float(mine["low"].iloc[1]) == pytest.approx(float(mine["high"].iloc[0]))
    classes = rows[rows["group"] == "spectype"].set_index("low")
    assert classes["n"].sum() == 500 and classes.loc["QSO", "holds"] == "" and classes.loc["GALAXY", "holds"] != ""
    judged = table[table["holds"] != ""]
    margin = np.where(judged["group"] == "overall", 0.02, 0.05)
    assert ((np.abs(judged["coverage90"] - 0.9) <= margin + 1e-6) == (judged["holds"] == "yes")).all()


def test_written_posteriors_are_the_ones_that_were_scored(world, outputs, table):
    written = pyarrow.parquet.read_table(outputs["posteriors"])
    levels = [float(level) for level in written.schema.metadata[b"levels"].split()]
    assert written.schema.metadata[b"unit.log_mstar"] == b"dex(solMass)"
    frame = written.to_pandas()
    quantiles = np.stack(frame.pop("quantiles"))
    assert (np.diff(quantiles, axis=1) >= 0).all() and {0.025, 0.05, 0.16, 0.5, 0.84, 0.95, 0.975} <= set(levels)
    test = world["table"][world["table"]["split"] == "test"].set_index("targetid")
    for (source, given, name), rows in frame.groupby(["source", "given", "property"], observed=True):
        assert rows["targetid"].tolist() == sorted(test.index)
        truth = test.loc[rows["targetid"], name].to_numpy()
        own = quantiles[rows.index][:, [levels.index(0.05), levels.index(0.95)]]
        covered = ((own[:, 0] <= truth) & (truth <= own[:, 1]))[np.isfinite(truth)].mean()
        row = table[(table["source"] == source) & (table["given"] == given) & (table["property"] == name)].iloc[0]
        assert covered == pytest.approx(row["coverage90"], abs=2e-3)  # single precision in the file
        assert np.median(own[np.isfinite(truth), 1] - own[np.isfinite(truth), 0]) == pytest.approx(
            row["width90"], rel=1e-3
        )


def test_the_same_seed_gives_the_same_bytes(world, tmp_path):
    settings = {"embeddings": ["astrodino-image"], "photometry": [], "epochs": 2}
    some = {"embeddings": [world["folder"] / "astrodino-image.parquet"]}
    one, same = (run(world, tmp_path / name, settings, **some) for name in "ab")
    assert all(one[role].read_bytes() == same[role].read_bytes() for role in one)


def test_no_galaxy_trains_a_head_and_calibrates_it(world, monkeypatch):
    seen = []
    train = heads.train
    monkeypatch.setattr(heads, "train", lambda inputs, *rest: seen.append(inputs.values) or train(inputs, *rest))
    pits = []
    of = Recalibration.of
    monkeypatch.setattr(Recalibration, "of", classmethod(lambda cls, pit: pits.append(len(pit)) or of(pit)))
    settings = {"photometry": [], "epochs": 1, "properties": ["z"]}
    run(world, world["folder"] / "once", settings, embeddings=[world["folder"] / "astrodino-image.parquet"])
    assert len(seen[0]) + pits[0] == 1500 + 500 and 1150 < len(seen[0]) < 1250


def test_galaxies_that_the_encoder_knows_too_well_do_not_calibrate(world, tmp_path):
    """An embedding that gives labels away in the training split: the validation split alone keeps intervals honest."""
    galaxies = world["galaxy_table"]
    leaked = np.where(galaxies["split"] == "train", 0.1, 3)[:, None]
    rng = np.random.default_rng(0)
    values = galaxies[["log_mstar"]].to_numpy() + leaked * rng.normal(size=(2500, 4))
    path = synthetic.embed(tmp_path / "leaky-spectrum.parquet", galaxies["targetid"], galaxies["split"], values)
    settings = {"photometry": [], "properties": ["log_mstar"]}
    row = pandas.read_csv(run(world, tmp_path / "out", settings, embeddings=[path])["table"]).iloc[0]
    assert row["calibrated_on"] == 500 and row["coverage90_before"] < 0.6
    assert row["coverage90"] == pytest.approx(0.9, abs=0.07) and row["pit_p_before"] < 1e-10


def test_labels_that_are_missing_and_galaxies_without_an_embedding(world, tmp_path):
    galaxies = world["galaxy_table"].drop(columns="split")
    galaxies.loc[galaxies.index % 50 > 0, "log_ssfr"] = np.nan  # too few to train on
    tables.write_parquet(tmp_path / "galaxies.parquet", galaxies)
    table = world["table"].iloc[::3]
    path = synthetic.embed(
        tmp_path / "rare-image.parquet", table["targetid"], table["split"], table[["z", "t_age"]].to_numpy()
    )
    changed = {"galaxies": tmp_path / "galaxies.parquet", "embeddings": [path]}
    outputs = run(world, tmp_path / "out", {"properties": ["z", "log_ssfr", "no_such"]}, **changed)
    found = pandas.read_csv(outputs["table"])
    assert set(found["property"]) == {"z"}
    overall = found[found["group"] == "overall"].set_index("source")
    assert overall.loc["rare-image", "n"] == (table["split"] == "test").sum() and overall.loc["photometry", "n"] == 500


@pytest.mark.parametrize("n", [(5, 0, 5), (60, 5, 0), (200, 0, 5), (0, 5, 5)])
def test_a_tiny_survey_is_no_error_and_is_told(tmp_path, n):
    survey = synthetic.survey(tmp_path, n=n, models=("specformer-spectrum",)) | {"folder": tmp_path}
    outputs = run(survey, tmp_path / "out", tokens=[], paired=[])
    table = pandas.read_csv(outputs["table"])
    blocks = present.present({k: str(v) for k, v in outputs.items()}, Settings(), Shown("mock"))
    assert outputs["figure"].stat().st_size and outputs["posteriors"].stat().st_size
    assert table["holds"].isna().all() and not any(isinstance(block, Claim) for block in blocks)
    if n == (200, 0, 5):
        assert set(table["n"]) > {4, 5} and (table["calibrated_on"] > 20).all()
        assert "fewer than 200 galaxies: not judged" in blocks[0].text
    else:
        assert table.empty and "No galaxy" in blocks[0].text


def test_a_catalogue_without_any_of_the_properties_is_refused(world, tmp_path):
    with pytest.raises(BadInput, match="galaxies.parquet: none of the properties no_such is a column; expected one"):
        run(world, tmp_path, {"properties": ["no_such"]})


def posteriors(path, galaxies, wrong=1.0, **changed):
    """A table of posteriors over redshift: right about a tenth of the galaxies twice, sure of the rest."""
    rng = np.random.default_rng(0)
    grid = np.expm1(np.arange(0, 0.6, 0.002))
    z = galaxies["z"].to_numpy()[:, None]
    centre = z + 0.02 * rng.normal(size=z.shape)
    pdf = stats.norm.pdf(grid, centre, 0.02 * wrong) + 0.1 * stats.norm.pdf(grid, centre + 0.2, 0.02 * wrong)
    meta = {
        "model": "redshift",
        "modality": "spectrum",
        "kind": "redshift",
        "trained": True,
        "log_scale": [0.0, 0.002, 300],
    }
    mass = pdf * (1 + grid) * 0.002
    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(mass.ravel(), pyarrow.float32()), len(grid))
    columns = {"targetid": galaxies["targetid"].to_numpy(), "posterior": column}
    schema = {"skyloom": json.dumps(meta | changed)}
    pyarrow.parquet.write_table(pyarrow.table(columns).replace_schema_metadata(schema), path, row_group_size=700)
    return grid, pdf


def test_posteriors_that_a_model_gives_itself_enter_the_same_table(world, tmp_path):
    galaxies = world["galaxy_table"].sample(frac=1, random_state=0)
    path = tmp_path / "redshift-redshift.parquet"
    grid, pdf = posteriors(path, galaxies, wrong=0.4)
    file = PosteriorFile(path)
    targetid, found_grid, found = file.targetid, file.grid, file.of(file.targetid)
    assert (targetid == galaxies["targetid"]).all() and found_grid == pytest.approx(grid)
    assert found == pytest.approx(pdf, rel=1e-5)
    some = targetid[[900, 3, 1700]]
    assert (PosteriorFile(path).of(some) == found[[900, 3, 1700]]).all()
    settings = {"properties": ["z", "log_mstar"], "predictions": ["redshift"], "epochs": 1}
    table = pandas.read_csv(run(world, tmp_path / "out", settings, predictions=[str(path)])["table"])
    row = table[(table["source"] == "redshift") & (table["group"] == "overall")]
    assert row["property"].tolist() == ["z"] and row["given"].tolist() == ["spectrum"]
    assert row["calibrated_on"].item() == 500  # it saw the labels of the training split
    assert row["coverage90_before"].item() < 0.8 and row["coverage90"].item() == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"log_scale": [0.0, 0.002, 2]}, "metadata skyloom.log_scale is .*; expected 300 bins, rising"),
        ({"log_scale": [0.6, -0.002, 300]}, "expected 300 bins, rising"),
        ({"log_scale": None}, "does not say on which redshifts its posteriors are"),
    ],
)
def test_a_table_of_posteriors_without_its_grid_is_refused(world, tmp_path, changed, words):
    posteriors(tmp_path / "p.parquet", world["galaxy_table"], **changed)
    with pytest.raises(BadInput, match=f"p.parquet: .*{words}"):
        PosteriorFile(tmp_path / "p.parquet")


def test_a_table_that_holds_no_posteriors_is_refused(world, tmp_path):
    with pytest.raises(BadInput, match="no column 'posterior'; it has targetid"):
        PosteriorFile(world["galaxies"])
    with pytest.raises(BadInput, match="none.parquet: no such file"):
        PosteriorFile(tmp_path / "none.parquet")
    galaxies = world["galaxy_table"].head(3)
    _, pdf = posteriors(tmp_path / "p.parquet", galaxies)
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    bad = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(-pdf.ravel(), pyarrow.float32()), pdf.shape[1])
    pyarrow.parquet.write_table(table.set_column(1, "posterior", bad), tmp_path / "p.parquet")
    with pytest.raises(BadInput, match=f"targetid {galaxies['targetid'].iloc[0]} is negative, not finite or 0"):
        PosteriorFile(tmp_path / "p.parquet").of(galaxies["targetid"].to_numpy())


def test_signal_to_noise_is_the_median_over_good_pixels(tmp_path):
    flux = np.array([[1.0, 2, 30], [4, 4, 4], [1, 1, 1]])
    ivar = np.array([[1.0, 4, 0], [4, 9, 16], [0, 0, 0]])
    write_shard(tmp_path / "s.h5", np.array([7, 8, 9]), {"flux": flux, "ivar": ivar})
    found = quality.signal_to_noise([tmp_path / "s.h5"], np.array([8, 7, 9, 10]))
    assert found[:2] == pytest.approx([12, 2.5]) and np.isnan(found[2:]).all()
    assert quality.signal_to_noise([], np.array([1])) is None
    write_shard(tmp_path / "i.h5", np.array([7]), {"rgb": np.zeros((1, 3, 4, 4))})
    assert quality.signal_to_noise([tmp_path / "i.h5"], np.array([7])) is None


def shown(outputs, table=None, tmp_path=None):
    paths = {role: str(path) for role, path in outputs.items()}
    if table is not None:
        tables.write_csv(tmp_path / "calibration.csv", table)
        paths["table"] = str(tmp_path / "calibration.csv")
    return present.present(paths, Settings(), Shown("mock", simulated=True))


def test_the_report_claims_what_the_table_holds(outputs, table, tmp_path):
    for share, holds in ((0.9, True), (0.7, False)):
        changed = table.assign(coverage90=0.9, coverage90_low=0.89, coverage90_high=0.91)
        changed["holds"] = np.where(changed["holds"] == "", "", "yes")
        if not holds:
            where = (changed["source"] == "photometry") & (changed["group"] == "snr") & (changed["property"] == "z")
            changed.loc[where, ["coverage90", "coverage90_low", "coverage90_high", "holds"]] = share, 0.65, 0.75, "no"
        overall, binned = [block for block in shown(outputs, changed, tmp_path) if isinstance(block, Claim)]
        assert overall.holds and overall.verdict == "holds"
        assert binned.holds is holds and binned.verdict == ("holds" if holds else "fails")
        assert ("photometry, redshift, snr" in binned.numbers) is not holds


def test_the_report_shows_figure_tables_and_the_word_on_the_mock(outputs, table):
    blocks = shown(outputs)
    assert [type(block) for block in blocks if isinstance(block, Figure | Scores)] == [Figure, Scores, Scores]
    assert any(getattr(block, "warns", False) and "Exchangeability fails" in block.text for block in blocks)
    coverage, crps = [block for block in blocks if isinstance(block, Scores)]
    assert [line[0][0] for line in coverage.lines][0] == "photometry" and len(coverage.lines) == 7
    assert "image alone: specformer + astrodino" in [line[0][0] for line in coverage.lines]
    assert sum(cell.best for _, cells in crps.lines for cell in cells) == 3
    missed = (table["holds"] == "no") & (table["group"] != "overall")
    folded = [block for block in blocks if isinstance(block, Lines)]
    assert sum(len(block.lines) for block in folded) == missed.sum()


DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pairs": [["specformer-spectrum"]]}, "calibration.pairs.0: .* needs at least 2 entries"),
        ({"pairs": [["specformer-spectrum", "specformer-spectrum"]]}, "'specformer-spectrum' is paired with itself"),
        ({"pairs": [["specformer-spectrum", "astrodino-imag"]]}, "did you mean 'astrodino-image'"),
        ({"predictions": ["redshft"]}, "calibration.predictions.0: 'redshft' is not a model"),
        ({"properties": ["mass"]}, "'mass' is not a property"),
        ({"set_apart": 1.0}, "calibration.set_apart: 1.0 is not allowed; must be below 1"),
        ({"bins": 1}, "calibration.bins: 1 is not allowed; must be at least 2"),
        ({"quantiles": 9}, "calibration: unknown key 'quantiles: 9'"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_job(settings, words):
    with pytest.raises(BadConfig, match=words):
        load(copy.deepcopy(DEFAULT) | {"analyses": {"calibration": settings}})


def test_a_survey_that_trains_models_is_calibrated_and_guests_are_not():
    pairs = [["specformer-spectrum", "astrodino-image"], ["photometry", "specformer-spectrum"]]
    made = load(copy.deepcopy(DEFAULT) | {"analyses": {"calibration": {"pairs": pairs}}}).made
    assert set(made) == {("calibration", "mock")}
    inputs = made["calibration", "mock"]
    assert [path.rpartition("/")[2] for path in inputs["paired"]] == [
        "specformer-spectrum.parquet", "astrodino-image.parquet",
    ]  # fmt: skip
    assert len(inputs["tokens"]) == DEFAULT["surveys"]["mock"]["shards"] and inputs["predictions"] == []
    with pytest.raises(BadConfig, match="has no prediction 'redshift' of a model 'specformer'"):
        load(
            copy.deepcopy(DEFAULT) | {"analyses": {"calibration": {"predictions": ["specformer"], "surveys": ["mock"]}}}
        )


def test_levels_that_are_written_are_levels_that_are_tabulated():
    assert (np.abs(calibrate.WRITTEN * 200 - np.round(calibrate.WRITTEN * 200)) < 1e-9).all()
