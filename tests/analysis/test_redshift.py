"""Redshift of guests among the galaxies of a survey: right where they belong, flagged where they do not."""

import numpy as np
import pandas
import pytest

from skyloom.analysis.common import tables
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.redshift import neighbours as redshift
from skyloom.core.errors import BadInput

from . import synthetic


@pytest.fixture
def guests(tmp_path):
    """Five galaxies of the mock's test split, posing as a survey: as they are, without redrock, far in z, far off."""
    survey = synthetic.survey(tmp_path, n=(400, 100, 60), models=("specformer-spectrum",))
    reference = read_embedding(survey["embeddings"][0])
    rows = np.flatnonzero(reference.split == "test")[:5]
    galaxies = survey["table"].set_index("targetid").loc[reference.targetid[rows]].reset_index()
    galaxies["spectrum_file"] = "coadd-1.fits"
    galaxies.loc[1, "z"], galaxies.loc[2, "z"] = np.nan, 2.5
    values = reference.values[rows].copy()
    values[3] *= 20
    (tmp_path / "real").mkdir()
    tables.write_parquet(tmp_path / "real/galaxies.parquet", galaxies)
    synthetic.embed(tmp_path / "real/specformer-spectrum.parquet", galaxies["targetid"], galaxies["split"], values)
    return survey, tmp_path, synthetic.shards(tmp_path / "real", galaxies.assign(z=0.2))["spectrum"]


def run(guests, config=None):
    survey, folder, shards = guests
    inputs = {"galaxies": folder / "real/galaxies.parquet", "tokens": shards}
    inputs |= {"embedding": folder / "real/specformer-spectrum.parquet", "reference": survey["embeddings"][0]}
    inputs |= {"reference_galaxies": survey["galaxies"]}
    return pandas.read_csv(synthetic.run("redshift", inputs, folder / "out", config, "real")["table"])


def test_estimates_and_notes(guests):
    table = run(guests)
    assert list(table) == redshift.COLUMNS
    assert table["delta"].iloc[[0, 4]].abs().max() < 0.05
    assert (table["delta"] * (1 + table["z_redrock"]) + table["z_redrock"] - table["z_estimate"]).abs().max() < 1e-4
    assert np.isnan(table["delta"][1]) and table["note"][1] == "no redrock redshift"
    assert "outside the training range" in table["note"][2]
    assert "unlike the training galaxies" in table["note"][3] and table["distance_percentile"][3] == 100
    assert table["note"].isna()[0] and table["distance_percentile"][0] < 99


def test_spread_is_that_of_the_neighbours(guests):
    survey, folder, _ = guests
    table = run(guests, {"k": 400, "weights": "uniform"})
    train = survey["table"].query("split == 'train'")["z"]
    assert table["z_spread"].to_numpy() == pytest.approx(train.std(ddof=0), rel=1e-4)
    assert table["z_estimate"].to_numpy() == pytest.approx(train.mean(), rel=1e-4)


def test_only_the_training_split_is_a_reference(guests):
    survey, folder, _ = guests
    exact = run(guests)["nearest_distance"][0]
    assert exact > 0.1  # the guest itself is in the test split of the reference


def test_embeddings_of_another_width_are_refused(guests):
    _, folder, _ = guests
    synthetic.embed(folder / "real/specformer-spectrum.parquet", [1], ["test"], np.ones((1, 7)))
    with pytest.raises(BadInput, match="7 dimensions.*32: not the same model"):
        run(guests)


def test_a_catalogue_without_files_and_vectors_in_place_of_spectra(guests):
    survey, folder, _ = guests
    galaxies = pandas.read_parquet(folder / "real/galaxies.parquet").drop(columns="spectrum_file")
    tables.write_parquet(folder / "real/galaxies.parquet", galaxies)
    path = folder / "real/vectors.h5"
    synthetic.write_shard(path, galaxies["targetid"], {"values": np.random.default_rng(0).random((5, 9))})
    table = run((survey, folder, [path]))
    assert table["file"].isna().all() and table["z_estimate"].notna().all()
