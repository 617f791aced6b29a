"""A survey, a model and an analysis of one's own: one module and one entry each, no file of the project changed."""

import html
import re
import shutil

import numpy as np
import pandas
import pytest

from skyloom.core.files import sha256
from tests.end_to_end.conftest import PARTS, copy_project, run
from tests.paths import ROOT

pytestmark = pytest.mark.end_to_end
TOYS = ROOT / "tests" / "end_to_end" / "toys"
CONFIG = ("--configfile", "toys/toys.yaml", "--cores", "2")
FOLDER = "results/toy-galaxies"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with nothing of the default run, but all from the folder of toys."""
    folder = copy_project(tmp_path_factory.mktemp("toys") / "skyloom")
    shutil.copytree(TOYS, folder / "toys", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(folder, *CONFIG)
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def test_the_project_is_as_it_was(made):
    for part in PARTS:
        files = [ROOT / part] if (ROOT / part).is_file() else [p for p in (ROOT / part).rglob("*") if p.is_file()]
        for path in files:
            if "__pycache__" not in path.parts:
                assert sha256(path) == sha256(made / path.relative_to(ROOT)), path


def test_the_survey_goes_from_its_own_files_to_tokens(made):
    galaxies = pandas.read_parquet(made / FOLDER / "catalog/galaxies.parquet")
    assert len(galaxies) == 200 and set(galaxies.sim_file) == {"toy-0.h5", "toy-1.h5"}
    assert len(list((made / FOLDER / "tokens/sed").glob("shard-*.h5"))) == 2


def test_two_models_of_a_kind_have_joint_embeddings_and_predictions(made):
    for model in ("first.try", "second"):
        joint = pandas.read_parquet(made / FOLDER / f"embeddings/{model}-joint.parquet")
        assert len(joint) == 200 and len(joint.embedding[0]) == 8
    galaxies = pandas.read_parquet(made / FOLDER / "catalog/galaxies.parquet").set_index("targetid").z
    found = {
        model: pandas.read_parquet(made / FOLDER / f"predictions/{model}-redshift.parquet").set_index("targetid")
        for model in ("first.try", "second")
    }
    test = found["first.try"].query("split == 'test'").index
    error = {model: (table.z - galaxies)[test].abs().mean() for model, table in found.items()}
    assert error["first.try"] < 0.2 < error["second"]  # 0.22 is a constant guess; the second is left as it starts


def test_the_analysis_has_its_table_figure_caption_and_claim_in_the_report(made):
    page = html.unescape((made / FOLDER / "report.html").read_text())
    assert "first.try reads redshifts to 0.1" in page and "second reads redshifts to 0.1" in page
    assert "Predicted against true redshift of the toy galaxies." in page
    for name in ("toy_analysis.csv", "toy_analysis.png", "again.csv", "again.png"):
        assert (made / FOLDER / "analysis" / name).stat().st_size
    assert np.isfinite(pandas.read_csv(made / FOLDER / "analysis/again.csv").mean_error).all()


def test_analyses_of_the_library_take_the_models_for_what_they_are(made):
    table = pandas.read_csv(made / FOLDER / "analysis/regression.csv")
    assert {("first.try", "joint"), ("pca_lsst", "lsst")} <= set(zip(table.model, table.modality, strict=True))
    assert "first.try - second" in set(table.model) and "photometry" not in set(table.model)


def test_the_plan_reads_as_a_table_of_contents_and_a_change_of_a_module_reruns_what_it_made(made):
    again = run(made, *CONFIG)
    assert "Nothing to be done" in again.stderr
    module = made / "toys/toy_analysis/__init__.py"
    module.write_text(module.read_text() + "\nADDED = 1\n")
    plan = run(made, *CONFIG, "--dry-run", "--quiet", "rules")
    jobs = set(re.findall(r"^(\w+) +\d+$", plan.stdout + plan.stderr, flags=re.MULTILINE))
    assert {"judge_toy", "judge_toy_again", "report"} <= jobs
    assert not {"pretrain", "embed", "predict", "regress", "fetch_raw"} & jobs
