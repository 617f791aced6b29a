"""A preset of an archive, run against a server on the loopback that has a mock survey under the archive's addresses."""

import contextlib
import copy
import hashlib
import io
import re
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import yaml
from astropy.cosmology import Planck13
from astropy.table import Table

from skyloom.formats.bricks import brickname
from tests.archive import Archive, serving
from tests.end_to_end.conftest import ROOT, copy_project, run
from tests.end_to_end.mock_archive import VIEWER, Sky, addresses, bases, of_desi, of_provabgs

pytestmark = pytest.mark.end_to_end
REDUX = "/edr/spectro/redux/fuji"
TARGETS = [f"results/desi/tokens/{name}/statistics.json" for name in ("spectrum", "image")]
PRESET = yaml.safe_load((ROOT / "resources/presets/desi_legacy.yaml").read_text())


@pytest.fixture(scope="module")
def mock(tmp_path_factory) -> Path:
    """A folder with the tokens of a tiny mock survey, and its raw files."""
    folder = copy_project(tmp_path_factory.mktemp("archives") / "skyloom")
    targets = [target.replace("/desi/", "/mock/") for target in TARGETS]
    done = run(folder, *targets, "--configfile", "tiny.yaml", "--cores", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def archive(mock, tmp_path):
    raw = mock / "results/mock/raw"
    files = {**of_desi(raw, "edr", "sv3/bright", tmp_path), **of_provabgs(raw, tmp_path)}
    with serving(Archive(files, Sky(raw))) as made:
        made.sky = made.answers
        yield made


def preset(folder: Path, archive: Archive, overlay: dict | None = None, **more) -> tuple[str, ...]:
    """The preset on the tiny configuration with the server's address in place of the archives', and an overlay."""
    given = {"addresses": addresses(archive.url)}
    given |= {"access": {"cutout_interval": 0.0, "pause": 0.0, "timeout": 20.0}, **more}
    config = copy.deepcopy(overlay or {})
    config.setdefault("surveys", {}).setdefault("desi", {}).update(given)
    (folder / "base.yaml").write_text(yaml.safe_dump(config))
    chosen = str(ROOT / "resources/presets/desi_legacy.yaml")
    return ("--configfile", "tiny.yaml", chosen, "base.yaml", "--cores", "2")


def coadds(archive: Archive) -> list[str]:
    return sorted(path for path, *_ in archive.seen if "/coadd-" in path)


def tokens(folder: Path, survey: str, modality: str = "spectrum") -> dict[int, np.ndarray]:
    """The flux of every spectrum or image of a survey by TARGETID."""
    rows = {}
    for path in sorted((folder / f"results/{survey}/tokens/{modality}").glob("shard-*.h5")):
        with h5py.File(path) as shard:
            rows |= dict(zip(shard["targetid"][:].tolist(), shard["flux"][:], strict=True))
    return rows


@pytest.fixture
def project(tmp_path):
    return copy_project(tmp_path / "skyloom")


LIGHT = {
    "surveys": {
        "mock_spectra": None,
        "desi": {"models": ["specformer", "pca_spectrum", "pca_image"], "models_from": None, "report_with": []},
    },
    "analyses": {
        **dict.fromkeys(("redshift", "calibration", "retrieval", "domain_gap")),
        "umap": {"embeddings": ["specformer-spectrum"]},
        "clusters": {"embeddings": ["specformer-spectrum"]},
        "regression": {"differences": [["specformer", "pca_spectrum"]]},
    },
}
"""Of the preset's models and analyses a few; all of them in test_presets.py."""


def test_the_preset_ends_in_a_report_on_the_galaxies_of_the_mock(mock, archive, project):
    some = next(path for path in archive.files if path.endswith(".fits") and "/coadd-" in path)
    archive.faults[some] = ["drop:100000", 503]
    options = preset(project, archive, LIGHT, provabgs_bases=bases(project / "bases"))
    done = run(project, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    report = (project / "results/desi/report.html").read_text()
    assert "Galaxies of DESI&#39;s early data release" in report or "Galaxies of DESI's early data release" in report
    # what the mock itself gives, but for galaxies whose image its imaging catalogue lacks on purpose
    there, here = (
        pandas.read_parquet(folder / f"results/{name}/catalog/galaxies.parquet").set_index("targetid")
        for folder, name in ((mock, "mock"), (project, "desi"))
    )
    assert len(there) > 150 and set(there.index) <= set(here.index)
    known = ["z", "ra", "dec", "log_mstar", "mag_r", "spectrum_row"]
    assert here.loc[there.index, known].equals(there[known]) and there.log_mstar.notna().sum() > 100
    measured = here[here.log_mstar.notna()]
    assert np.allclose(measured.z_mw, 0.0134)
    assert np.allclose(measured.t_age, Planck13.age(measured.z).to_value("Gyr") / 2, rtol=1e-3)
    assert here.separation_arcsec.max() < 0.01  # cut out at the galaxy's own place
    spectra, own = tokens(mock, "mock"), tokens(project, "desi")
    common = set(spectra) & set(own)
    assert len(common) > 150 and all(np.array_equal(spectra[t], own[t]) for t in common)
    scores = pandas.read_csv(project / "results/desi/analysis/regression.csv")
    assert {"log_mstar", "t_age"} <= set(scores.property)  # the metallicities are all the same
    # nothing but what is wanted was asked for, the broken one from where it broke
    wanted = Table.read(project / "results/desi/raw/wanted.parquet")
    assert {path.rpartition("/")[2] for path in coadds(archive)} == {Path(p).name for p in wanted["coadd"]}
    assert [asked for path, asked, status in archive.seen if path == some] == ["", "bytes=100000-", "bytes=100000-"]
    assert sum(path == VIEWER for path, *_ in archive.seen) == len(wanted)
    sums = [status for path, _, status in archive.seen if path.endswith(".sha256sum")]
    assert len(sums) == 1 + len(coadds(archive)) - 2 and set(sums) == {200}  # of the catalogue and of each coadd
    # once the catalogue is there the plan is exact, and a second run asks for nothing
    archive.seen.clear()
    again = run(project, *options)
    assert "Nothing to be done" in again.stderr and not archive.seen
    # another address, same files: nothing is fetched or made again (but the report, which shows the configuration)
    access = {"cutout_interval": 1.0, "tries": 3}
    moved = preset(project, archive, LIGHT, provabgs_bases=str(project / "bases"), access=access)
    assert "Nothing to be done" in run(project, *TARGETS, *moved).stderr and not archive.seen


def test_after_the_catalogue_the_dry_run_is_exact_and_files_without_wanted_galaxies_are_left(archive, project):
    options = preset(project, archive, most_files=1, shards=1)
    done = run(project, "results/desi/raw/files.json", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    planned = run(project, "plan", *options)
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert re.search(r"coadd: 1 files to come, \d\.\d+ GB to fetch in 1 requests; 0 are here", planned.stderr)
    assert re.search(r"images: 1 files to come, about \d\.\d+ GB to fetch in \d\d requests", planned.stderr)
    assert re.search(r"\d\d galaxies: .* GB free; \d+\.\d+ h at 10 MB/s", planned.stderr)
    assert not coadds(archive) or not any(archive.sent.get(path) for path in coadds(archive))
    plan = run(project, *TARGETS, *options, "--dry-run", "--quiet", "rules")
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", plan.stdout + plan.stderr, flags=re.MULTILINE))
    assert jobs["fetch_raw"] == "3"  # a coadd, its cutouts, the properties; the catalogue is there
    assert "list_files" not in jobs and "checkpoint" not in plan.stderr


def test_what_an_archive_refuses_is_the_last_line_of_the_run(archive, project):
    archive.files.pop(f"{REDUX}/zcatalog/zall-pix-fuji.fits")
    done = run(project, *TARGETS, *preset(project, archive))
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert f"{archive.url}{REDUX}/zcatalog/zall-pix-fuji.fits: HTTP 404" in last and "base URL" in last
    assert not list((project / "results/desi/raw").rglob("*.fits"))


class Watched:
    """What of a survey's raw files lies on the disk whenever something is asked for, by the path of the request."""

    def __init__(self, folder: Path, archive: Archive):
        self.raw, self.answer, self.held = folder / "results/desi/raw", archive.answers, []
        archive.answers = self

    def __call__(self, path: str, query: str):
        if not path.endswith(".sha256sum"):
            self.held.append((path.rpartition("/")[2], self.names(), self.size()))
        return self.answer(path, query)

    def _files(self) -> list[Path]:
        parts = [part for part in ("spectra", "images", "bricks") for part in (self.raw / part).rglob("*")]
        return [path for path in parts if path.suffix in (".fits", ".h5", ".fz")]

    def names(self) -> list[str]:
        return sorted(path.name for path in self._files())

    def size(self) -> int:
        found = 0
        for path in self._files():
            with contextlib.suppress(OSError):  # gone by now
                found += path.stat().st_size
        return found


def test_a_survey_passes_through_a_disk_that_holds_one_shard_of_it(mock, archive, project):
    """Images out of bricks that lie across the tiles; the archive has no z band of one."""
    watched = Watched(project, archive)
    archive.files |= {f"/dr9/south/{name}": b"" for name in ("survey-bricks-dr9-south.fits.gz",)}
    lacking = []

    def answer(path, query, answer=archive.answers):
        if "-image-z" in path and (path in lacking or not lacking):
            lacking.append(path)
            return None
        return answer(path, query)

    archive.answers = answer
    more = {"keep_raw": False, "shards_in_flight": 1, "shards": 3, "images": "bricks-dr9"}
    options = preset(project, archive, footprint={"ra": [224.7, 225.3], "dec": [0.9, 1.5]}, **more)
    done = run(project, *TARGETS, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    coadds_held = [names for path, names, _ in watched.held if path.startswith("coadd-")]
    assert len(coadds_held) == 3
    assert all(not any(name.startswith("coadd") for name in names) for names in coadds_held)
    for path, names, _ in watched.held:  # at most a coadd, the images of its galaxies, and a brick being cut out of
        other = [name for name in names if name.endswith(".fits") and name != path]
        assert len(other) <= 1 and len({name.split("-image-")[0] for name in names if name.endswith(".fz")}) <= 1
    assert watched.names() == []
    # a brick that several shards need is fetched for each, within one once
    asked = [path for path, _, status in archive.seen if "/coadd/" in path and status == 200]
    assert len(asked) > len(set(asked)) and max(map(asked.count, asked)) <= 3
    there, here = tokens(mock, "mock"), tokens(project, "desi")
    common = set(there) & set(here)
    assert len(common) > 10 and all(np.array_equal(there[t], here[t]) for t in common)
    galaxies = pandas.read_parquet(project / "results/desi/catalog/galaxies.parquet")
    brick = brickname(galaxies.ra.to_numpy(), galaxies.dec.to_numpy())
    without = galaxies.targetid[brick == lacking[0].rpartition("/")[0].rpartition("/")[2]]
    aside = pandas.read_csv(project / "results/desi/tokens/image/quarantine.csv")
    assert set(aside.targetid) >= set(without) and len(without)
    assert set(aside[aside.targetid.isin(without)].reason) == {"band z is NaN everywhere"}
    images, true = tokens(project, "desi", "image"), tokens(mock, "mock", "image")
    alone = galaxies.targetid[archive.sky.alone(galaxies.ra, galaxies.dec, 60.0)]
    alone = [t for t in alone if t in images and t in true]
    assert len(alone) >= 5 and all(np.array_equal(images[t], true[t]) for t in alone)
    again = run(project, *TARGETS, *options)
    assert "Nothing to be done" in again.stderr


def test_a_users_positions_become_tokens_and_embeddings_out_of_bricks(mock, archive, project):
    """As somebody with a list of positions would: images without spectra."""
    galaxies = pandas.read_parquet(mock / "results/mock/catalog/galaxies.parquet")
    galaxies = galaxies[galaxies.ra.between(224.7, 225.3) & galaxies.dec.between(0.9, 1.5)]
    mine = galaxies[["ra", "dec", "z"]].assign(name=[f"NGC {n}" for n in range(len(galaxies))])
    mine.loc[len(galaxies)] = [np.nan, np.nan, 0.1, "nowhere"]
    mine.to_csv(project / "mine.csv", index=False)
    archive.files["/dr10/south/survey-bricks-dr10-south.fits.gz"] = b""
    entry = {"kind": "legacy", "source": "bricks-dr10", "shards": 2, "models": ["pca_image"]}
    entry["positions"] = {"file": "mine.csv", "identifier": "name", "redshift": "z"}
    entry |= {"addresses": addresses(archive.url), "access": {"pause": 0.0, "checksums": False}}
    entry["split"] = {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}}
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    config = {part: dict.fromkeys(default[part]) for part in ("surveys", "models", "analyses")} | {"report": []}
    config["surveys"]["mine"], config["models"]["pca_image"] = entry, default["models"]["pca_image"]
    config["models"]["pca_image"]["model"] = {"components": 4}
    (project / "mine.yaml").write_text(yaml.safe_dump(config))
    options = ("--configfile", "mine.yaml", "--cores", "1")
    planned = run(project, "plan", *options)
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert re.search(r"images: 2 files to come, about \d+\.\d+ GB to fetch in \d+ requests", planned.stderr)
    done = run(project, "results/mine/embeddings/pca_image-image.parquet", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    table = pandas.read_parquet(project / "results/mine/embeddings/pca_image-image.parquet")
    found = pandas.read_parquet(project / "results/mine/catalog/galaxies.parquet").set_index("identifier")
    assert len(table) == len(galaxies) > 10 and len(found) == len(galaxies) + 1
    assert np.allclose(found.loc[mine.name[:-1], "z"], galaxies.z, atol=1e-6)
    aside = pandas.read_csv(project / "results/mine/tokens/image/quarantine.csv")
    assert aside.targetid.tolist() == [found.targetid["nowhere"]]
    images, true = tokens(project, "mine", "image"), tokens(mock, "mock", "image")
    alone = [t for t in galaxies.targetid[archive.sky.alone(galaxies.ra, galaxies.dec, 60.0)] if t in true]
    name = dict(zip(galaxies.targetid, mine.name, strict=False))
    assert len(alone) > 3 and all(np.array_equal(images[found.targetid[name[t]]], true[t]) for t in alone)


def test_a_file_named_by_its_url_is_fetched_verified_and_read(project):
    """A file in the form of AstroCLIP's, from a mirror."""
    body, rng = io.BytesIO(), np.random.default_rng(1)
    with h5py.File(body, "w") as file:
        for group in "01":
            spectra, number = rng.normal(5, 1, (10, 7781, 1)).astype("f4"), np.arange(10) + 100 * int(group)
            names = {"spectra": spectra, "redshifts": rng.uniform(0, 1, 10), "targetids": number}
            for name, values in names.items():
                file[f"{group}/{name}"] = values
    sha256, name = hashlib.sha256(body.getvalue()).hexdigest(), "/clip/astroclip_desi.h5"
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    config = {part: dict.fromkeys(default[part]) for part in ("surveys", "models", "analyses")} | {"report": []}
    with serving(Archive({name: body.getvalue()}, faults={name: ["drop:100000"]})) as mirror:
        for checksum, good in (("0" * 64, False), (sha256, True)):
            config["surveys"]["clip"] = {"kind": "spectra", "files": [f"{mirror.url}{name}#sha256={checksum}"]}
            (project / "mine.yaml").write_text(yaml.safe_dump(config))
            target = "results/clip/tokens/spectrum/statistics.json"
            done = run(project, target, "--configfile", "mine.yaml", "--cores", "1")
            assert (done.returncode == 0) == good, done.stderr[-3000:]
            if not good:
                assert f"sha256 {sha256}, expected {checksum}" in done.stderr
    galaxies = pandas.read_parquet(project / "results/clip/catalog/galaxies.parquet")
    assert len(galaxies) == 20 and set(galaxies.spectrum_file) == {"astroclip_desi.h5"}
