"""Statistics of the training split: against numpy, blind to the other splits and to the order of the shards."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.core.errors import BadInput
from skyloom.formats import part_columns
from skyloom.tokens.statistics import (
    STATISTICS,
    LogHistogram,
    Moments,
    merge_statistics,
    split_of,
)
from skyloom.tokens.store import write_shard
from tests.tokens.shards import gather

HEADER = "targetid,file,row,reason\n"


def write_spectra(folder, flux, ivar, names=("a", "b", "c")):
    paths = [folder / f"{name}.h5" for name in names]
    for path, rows in zip(paths, np.array_split(np.arange(len(flux)), len(names)), strict=True):
        write_shard(path, rows, {"flux": flux[rows], "ivar": ivar[rows]}, {"modality": "spectrum"})
    return paths


def write_splits(path, split):
    order = np.random.default_rng(3).permutation(len(split))
    pq.write_table(pa.table({"targetid": order, "split": np.asarray(split)[order]}), path)


def spectra(n=30, width=200):
    rng = np.random.default_rng(0)
    flux, ivar = rng.normal(3, 2, (n, width)).astype("f4"), 10 ** rng.normal(0, 0.5, (n, width)).astype("f4")
    ivar[rng.random((n, width)) < 0.1] = 0
    flux[ivar == 0] = 0
    split = np.array((["train"] * 3 + ["validation", "test"]) * (n // 5))
    return flux, ivar, split


def run(folder, paths, quarantine=()):
    return gather(folder, paths, quarantine, "statistics")


def test_spectra_agree_with_numpy_on_the_training_split(tmp_path):
    flux, ivar, split = spectra()
    write_splits(tmp_path / "splits.parquet", split)
    result = run(tmp_path, write_spectra(tmp_path, flux, ivar))
    flux, ivar = flux[split == "train"].astype("f8"), ivar[split == "train"]
    good = ivar > 0
    assert result["galaxies"] == {"train": 18, "validation": 6, "test": 6} and result["split"] == "train"
    assert result["flux_pixel"]["mean"] == pytest.approx(flux[good].mean(), rel=1e-12)
    assert result["flux_pixel"]["std"] == pytest.approx(flux[good].std(), rel=1e-12)
    means = np.array([f[g].mean() for f, g in zip(flux, good, strict=True)])
    stds = np.array([f[g].std() for f, g in zip(flux, good, strict=True)])
    assert result["flux_mean_of_spectrum"] == pytest.approx({"mean": means.mean(), "std": means.std()}, rel=1e-9)
    assert result["flux_std_of_spectrum"] == pytest.approx({"mean": stds.mean(), "std": stds.std()}, rel=1e-9)
    assert result["masked_fraction"] == pytest.approx(1 - good.mean(), rel=1e-12)
    for level, value in result["ivar_quantiles"].items():
        exact = np.quantile(ivar[good], float(level), method="inverted_cdf")
        assert np.log10(value / exact) == pytest.approx(0, abs=0.0052)


def test_images_agree_with_numpy_on_the_training_split(tmp_path):
    rng = np.random.default_rng(1)
    flux, rgb = rng.normal(2, 1, (20, 3, 8, 8)).astype("f4"), rng.random((20, 3, 8, 8)).astype("f4")
    split = np.array(["train", "test"] * 10)
    write_shard(tmp_path / "a.h5", np.arange(20), {"flux": flux, "rgb": rgb}, {"modality": "image"})
    write_splits(tmp_path / "splits.parquet", split)
    result = run(tmp_path, [tmp_path / "a.h5"])
    for name, channel, values in [
        ("flux", "g", flux[::2, 0]),
        ("flux", "z", flux[::2, 2]),
        ("rgb", "red", rgb[::2, 0]),
    ]:
        values = values.astype("f8")
        assert result[name][channel] == pytest.approx({"mean": values.mean(), "std": values.std()}, rel=1e-12)


def test_other_splits_have_no_influence(tmp_path):
    flux, ivar, split = spectra()
    write_splits(tmp_path / "splits.parquet", split)
    before = run(tmp_path, write_spectra(tmp_path, flux, ivar))
    flux[split != "train"] = 1e6
    ivar[split != "train"] = 1e6
    after = run(tmp_path, write_spectra(tmp_path, flux, ivar))
    assert before.pop("shards") != after.pop("shards")
    assert before == after
    flux[split == "train"] += 1
    changed = run(tmp_path, write_spectra(tmp_path, flux, ivar))
    assert changed["flux_pixel"] != before["flux_pixel"]


def test_order_and_number_of_shards_do_not_matter_to_the_last_bit(tmp_path):
    flux, ivar, split = spectra(n=300)
    flux *= np.float32(1e-7) ** np.random.default_rng(2).random((300, 1)).astype("f4")  # sums that round
    write_splits(tmp_path / "splits.parquet", split)
    paths = write_spectra(tmp_path, flux, ivar)
    run(tmp_path, paths)
    first = (tmp_path / "statistics.json").read_bytes()
    run(tmp_path, paths[::-1])
    assert (tmp_path / "statistics.json").read_bytes() == first
    one = run(tmp_path, write_spectra(tmp_path, flux, ivar, names=["whole"]))
    three = json.loads(first)
    assert one.pop("shards") != three.pop("shards") and one == three


def test_without_training_galaxies_the_numbers_are_null(tmp_path):
    flux, ivar, _ = spectra(n=5)
    write_splits(tmp_path / "splits.parquet", ["test"] * 5)
    result = run(tmp_path, write_spectra(tmp_path, flux, ivar))
    assert result["flux_pixel"] == {"mean": None, "std": None} and result["masked_fraction"] is None
    assert set(result["ivar_quantiles"].values()) == {None}


def test_quarantine_lists_are_joined_sorted(tmp_path):
    flux, ivar, split = spectra()
    write_splits(tmp_path / "splits.parquet", split)
    (tmp_path / "q1.csv").write_text(HEADER + "90,b.fits,3,flux is NaN everywhere\n")
    (tmp_path / "q2.csv").write_text(HEADER)
    (tmp_path / "q3.csv").write_text(
        HEADER + "80,c.fits,1,a reason, with a comma\n".replace("a reason, with a comma", '"x, y"')
    )
    result = run(tmp_path, write_spectra(tmp_path, flux, ivar), [tmp_path / f"q{i}.csv" for i in (1, 2, 3)])
    with open(tmp_path / "quarantine.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        HEADER.strip().split(","),
        ["80", "c.fits", "1", "x, y"],
        ["90", "b.fits", "3", "flux is NaN everywhere"],
    ]
    assert result["quarantined"] == 2


def test_a_damaged_shard_a_missing_split_and_a_foreign_file_are_named(tmp_path):
    flux, ivar, split = spectra()
    paths = write_spectra(tmp_path, flux, ivar)
    with pytest.raises(BadInput, match="splits.parquet: expected Parquet"):
        run(tmp_path, paths)
    write_splits(tmp_path / "splits.parquet", split[:28])
    with pytest.raises(BadInput, match="splits.parquet: column targetid lacks 2 galaxies of the shards, the first 28"):
        run(tmp_path, paths)
    write_splits(tmp_path / "splits.parquet", split)
    (tmp_path / "q.csv").write_text("something else\n")
    with pytest.raises(BadInput, match="q.csv: first line must be targetid,file,row,reason"):
        run(tmp_path, paths, [tmp_path / "q.csv"])
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[:-3000])
    with pytest.raises(BadInput, match="b.h5: the shard is damaged"):
        run(tmp_path, paths)
    assert not (tmp_path / "statistics.json").exists()


def test_one_training_galaxy_has_no_scatter(tmp_path):
    flux, ivar, _ = spectra(n=5)
    for chosen in range(5):
        write_splits(tmp_path / "splits.parquet", np.where(np.arange(5) == chosen, "train", "test"))
        result = run(tmp_path, write_spectra(tmp_path, flux, ivar))
        for name in ("flux_mean_of_spectrum", "flux_std_of_spectrum"):
            assert result[name]["std"] == pytest.approx(0, abs=1e-6)


def test_moments_are_exact_where_floats_cancel():
    moments = Moments()
    for part in ([1e16, 1.0], [-1e16, 1.0]):
        moments.add(2, np.array(part), np.zeros(2))
    assert moments.result()["mean"] == 0.5


def test_values_outside_the_histogram_are_kept_at_its_ends():
    histogram = LogHistogram()
    histogram.add(np.array([1e-30, 1e-30, 1e30]))
    assert histogram.quantiles([0.5, 0.9]) == pytest.approx({"0.5": 1e-12, "0.9": 1e12}, rel=0.02)


def test_hsc_images_have_a_mean_for_each_of_five_bands(tmp_path):
    flux = np.random.default_rng(1).normal([1, 2, 3, 4, 5], [5, 4, 3, 2, 1], (20, 8, 8, 5)).transpose(0, 3, 1, 2)
    flux = flux.astype("f4")
    split = np.array(["train"] * 15 + ["test"] * 5)
    write_splits(tmp_path / "splits.parquet", split)
    write_shard(tmp_path / "a.h5", np.arange(20), {"flux": flux}, {"modality": "hsc_image"})
    result = run(tmp_path, [tmp_path / "a.h5"])
    assert result["modality"] == "hsc_image" and list(result["flux"]) == sorted("grizy") and "rgb" not in result
    for i, band in enumerate("grizy"):
        pixels = flux[:15, i].astype("f8")
        assert result["flux"][band] == pytest.approx({"mean": pixels.mean(), "std": pixels.std()}, rel=1e-9)


@pytest.mark.parametrize("modality", ["spectrum", "image", "hsc_image", "scalars", "sed"])
def test_what_two_have_seen_together_is_what_one_would_have_seen(modality):
    kind, names = STATISTICS[modality]
    rng = np.random.default_rng(6)
    shapes = {
        "spectrum": (40,),
        "image": (3, 6, 6),
        "hsc_image": (5, 6, 6),
        "scalars": (len(part_columns.SCALARS),),
    }
    blocks = {name: rng.lognormal(size=(30, *shapes.get(modality, (7,)))).astype("f4") for name in names}
    one, merged = kind(), kind()
    one.add(**blocks)
    for rows in (slice(0, 11), slice(11, 11), slice(11, 30)):
        part = kind()
        if rows.start < rows.stop:
            part.add(**{name: values[rows] for name, values in blocks.items()})
        merged.merge(json.loads(json.dumps(part.state())))
    assert merged.result() == one.result() and merged.result() != kind().result()


def test_shards_that_do_not_belong_together_are_refused(tmp_path):
    flux, ivar, split = spectra()
    write_splits(tmp_path / "splits.parquet", split)
    paths = write_spectra(tmp_path, flux, ivar)
    with pytest.raises(BadInput, match="a.h5 .*: expected different shards"):
        run(tmp_path, [paths[0], paths[0]])
    write_shard(tmp_path / "d.h5", np.arange(5), {"flux": np.ones((5, 5, 4, 4))}, {"modality": "hsc_image"})
    with pytest.raises(BadInput, match=r"d.h5 \(hsc_image\): expected .* of one modality, spectrum"):
        run(tmp_path, [*paths, tmp_path / "d.h5"])
    (tmp_path / "part.json").write_text("{}")
    with pytest.raises(BadInput, match="part.json: expected the statistics of a shard"):
        merge_statistics([tmp_path / "part.json"], [], tmp_path / "s.json", tmp_path / "q.csv")


def test_a_split_is_found_whatever_the_order_and_one_that_is_none_is_named(tmp_path):
    split = np.random.default_rng(1).choice(["train", "validation", "test"], 3000)
    write_splits(tmp_path / "splits.parquet", split)
    asked = np.random.default_rng(2).choice(3000, 500)
    code = split_of(asked, tmp_path / "splits.parquet")
    assert code.dtype == np.int8
    assert np.array_equal(np.array(["train", "validation", "test"])[code], split[asked])
    assert len(split_of(asked[:0], tmp_path / "splits.parquet")) == 0
    write_splits(tmp_path / "splits.parquet", ["train", "held out"])
    with pytest.raises(BadInput, match="splits.parquet: column split has more than train, validation, test"):
        split_of(np.array([0]), tmp_path / "splits.parquet")
