"""The main job on a tiny configuration: every artefact is there, named, and rebuilt alone."""

import html
import json
import re
import subprocess
import sys

import pandas
import pytest

from tests.end_to_end.conftest import ROOT, run

pytestmark = pytest.mark.end_to_end
TINY = ("--configfile", "tiny.yaml", "--cores", "2")


def names_in_readme(start: str = "<!-- results -->", end: str = "<!-- end of results -->") -> list[str]:
    """The files the README lists as results, of the main job unless told."""
    text = (ROOT / "README.md").read_text()
    return re.findall(r"`(results/[^`{}]+)`", text[text.index(start) : text.index(end)])


def test_every_result_the_readme_names_is_there(finished):
    names = names_in_readme()
    assert len(names) > 20
    missing = [name for name in names if not (finished / name).is_file() or not (finished / name).stat().st_size]
    assert not missing


def test_results_asked_for_by_name_are_made(finished):
    names = names_in_readme("When asked for by name", "Named targets")
    assert "results/mock/validation/mock_validation.html" in names
    done = run(finished, *TINY, *names)
    assert done.returncode == 0, done.stderr[-3000:]
    checks = pandas.read_csv(finished / "results/mock/validation/mock_validation.csv")
    assert set(checks.verdict) >= {"pass", "not compared"}
    page = (finished / "results/mock/validation/mock_validation.html").read_text()
    assert all(quantity in html.unescape(page) for quantity in checks.quantity)


def test_a_second_run_does_nothing(finished):
    again = run(finished, *TINY)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr


def test_one_analysis_is_rebuilt_alone(finished):
    target = "results/mock/analysis/retrieval.csv"
    before = (finished / target).read_bytes()
    (finished / target).unlink()
    done = run(finished, *TINY, target)
    assert done.returncode == 0, done.stderr[-3000:]
    finished_rules = set(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", done.stderr))
    assert finished_rules == {"retrieve"}
    assert (finished / target).read_bytes() == before
    again = run(finished, *TINY, "--dry-run")  # the same bytes: what was made of them stands
    assert "Nothing to be done" in again.stdout + again.stderr


def test_regression_table_is_tidy_and_complete(finished):
    table = pandas.read_csv(finished / "results/mock/analysis/regression.csv")
    columns = "survey model modality method property split metric value ci_low ci_high n kind trained".split()
    assert list(table.columns) == columns
    test = table[(table.split == "test") & (table.metric == "r2")]
    assert set(test.property) == {"z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"}
    assert {"photometry", "specformer", "specformer_untrained", "pca_spectrum", "astrodino", "astroclip"} <= set(
        test.model
    )
    assert (test.ci_low <= test.value).all() and (test.value <= test.ci_high).all()


def test_real_spectra_have_a_redshift_beside_redrock(finished):
    table = pandas.read_csv(finished / "results/desi_samples/analysis/redshift.csv")
    assert {39633345008634465, 39089837499744649} <= set(table.targetid)
    assert table.z_catalogue.notna().sum() >= 2 and table.z.notna().all()
    scores = pandas.read_csv(finished / "results/mock_spectra/analysis/redshift-scores.csv")
    assert {"network and fit", "network", "catalogue"} <= set(scores.method)
    assert {"galaxies", "quasars"} <= set(scores.group)
    compared = pandas.read_csv(finished / "results/mock/analysis/redshift-scores.csv")
    assert {"specformer (spectrum), probe", "photometry, probe"} <= set(compared.method)
    cuts = pandas.read_csv(finished / "results/desi_samples/catalog/cuts.csv")
    assert cuts.lost.sum() > 0  # sky rows and bad fibres of the samples


def test_report_opens_offline_and_shows_both_surveys(finished):
    page = (finished / "results/mock/report.html").read_text()
    assert "data:image/png;base64," in page
    assert not re.search(r"(src|href)=[\"']https?://", page)
    assert "Redshifts of spectra, desi_samples" in page and "Redshifts of spectra, mock_spectra" in page


def test_every_artefact_knows_where_it_comes_from(finished):
    chain = subprocess.run(
        [sys.executable, "-m", "skyloom.core.provenance", "results/mock/analysis/retrieval.csv"],
        cwd=finished,
        env={"PYTHONPATH": "workflow"},
        capture_output=True,
        text=True,
    )
    assert chain.returncode == 0
    assert "raw/spectra/healpix" in chain.stdout and "CHANGED" not in chain.stdout
    card = json.loads((finished / "results/mock/models/specformer/model.json").read_text())
    assert card["config"]["kind"] == "specformer"


def test_editing_the_library_reruns_what_depends_on_it(finished):
    module = finished / "workflow/skyloom/analysis/retrieval/ranks.py"
    source = module.read_text()
    try:
        module.write_text(source + "\nADDED = 1\n")
        plan = run(finished, *TINY, "--dry-run", "--quiet", "rules")
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", plan.stdout + plan.stderr, flags=re.MULTILINE))
        assert "retrieve" in jobs and "report" in jobs
        assert not {"generate_tile_with_hsc", "tokenize_spectra", "pretrain", "embed", "regress"} & set(jobs)
    finally:
        module.write_text(source)


def test_two_runs_in_one_folder_are_refused(finished):
    from skyloom.core.job import only_run

    target = finished / "results/mock/analysis/retrieval.csv"
    aside = target.rename(finished / "aside.csv")
    try:
        with only_run(finished / ".snakemake"):
            refused = run(finished, *TINY, "results/mock/analysis/retrieval.csv")
    finally:
        aside.rename(target)
    assert refused.returncode != 0
    assert "another run works in this folder" in refused.stderr


def test_a_wrong_configuration_is_one_line(finished):
    wrong = run(finished, *TINY, "--config", "seed=-1")
    assert wrong.returncode != 0
    assert "config: seed: -1 is not allowed; must be at least 0" in wrong.stderr
    assert "Traceback" not in wrong.stderr
