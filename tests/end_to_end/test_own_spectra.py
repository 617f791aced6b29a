"""A folder of spectra of one's own and a configuration of a few lines: a catalogue, tokens, and what was put aside."""

import numpy as np
import pandas
import pytest
import yaml
from astropy.table import Table

from skyloom.tokens.store import Shards
from tests.end_to_end.conftest import copy_project, run
from tests.paths import ROOT

pytestmark = pytest.mark.end_to_end
WAVE = 3700 + 1.2 * np.arange(4000)
STATISTICS = "results/mine/tokens/spectrum/statistics.json"
ARGUMENTS = (STATISTICS, "--configfile", "mine.yaml", "--cores", "1")


def write(folder, number: int, seed: int) -> None:
    flux = np.random.default_rng(seed).normal(5, 1, len(WAVE)).astype("f4")
    Table({"wavelength": WAVE, "flux": flux, "error": np.ones(len(WAVE), "f4")}).write(
        folder / f"my/star-{number:02d}.fits", overwrite=True
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("own") / "skyloom")
    (folder / "my").mkdir()
    for number in range(20):
        write(folder, number, number)
    (folder / "my/star-20.fits").write_bytes(b"no spectrum")
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    nothing = {part: dict.fromkeys(default[part]) for part in ("surveys", "models", "analyses")}
    nothing["surveys"]["mine"] = {"kind": "spectra", "files": ["my/*.fits"], "files_per_part": 11, "shards": 2}
    (folder / "mine.yaml").write_text(yaml.safe_dump({**nothing, "report": []}))
    done = run(folder, *ARGUMENTS)
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def test_two_lines_of_configuration_make_a_catalogue_and_tokens(made):
    galaxies = pandas.read_parquet(made / "results/mine/catalog/galaxies.parquet")
    assert sorted(galaxies.spectrum_file) == [f"star-{number:02d}.fits" for number in range(20)]
    assert not galaxies.ivar_estimated.any() and set(galaxies.part_file) == {"spectra-0000.h5", "spectra-0001.h5"}
    tokens = Shards(sorted((made / "results/mine/tokens/spectrum").glob("shard-*.h5")))
    assert sorted(tokens.targetid) == sorted(galaxies.targetid) and tokens.shapes["flux"] == (7781,)
    assert (pandas.read_parquet(made / "results/mine/catalog/splits.parquet").split == "test").all()


def test_the_broken_file_is_in_the_quarantine_and_the_flow_table(made):
    (lost,) = pandas.read_csv(made / "results/mine/tokens/spectrum/quarantine.csv").itertuples()
    assert lost.file == "my/star-20.fits" and lost.reason.startswith("the file cannot be read")
    flow = pandas.read_csv(made / "results/mine/catalog/cuts.csv")
    assert flow[["cut", "kept", "lost"]].values.tolist() == [["rows read", 21, 0], ["the file cannot be read", 20, 1]]


def test_a_changed_file_is_read_again_with_those_of_its_part_alone(made):
    same = run(made, *ARGUMENTS, "-n")
    assert same.returncode == 0 and "Nothing to be done" in same.stdout + same.stderr
    write(made, 3, 99)
    before = pandas.read_parquet(made / "results/mine/catalog/galaxies.parquet")
    done = run(made, *ARGUMENTS)
    text = done.stdout + done.stderr
    assert done.returncode == 0 and "Read part 0000 of the spectra" in text and "Read part 0001" not in text
    after = pandas.read_parquet(made / "results/mine/catalog/galaxies.parquet")
    pandas.testing.assert_frame_equal(before, after)  # the pixels changed, what is known of the star did not
