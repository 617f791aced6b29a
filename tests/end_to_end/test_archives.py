"""A preset of an archive, run against a server on the loopback that has a mock survey under the archive's addresses."""

import hashlib
import io
import re
from pathlib import Path
from urllib.parse import parse_qs

import h5py
import numpy as np
import pandas
import pytest
import yaml
from astropy.cosmology import Planck13
from astropy.io import fits
from astropy.table import Table

from skyloom.formats import legacy, provabgs
from skyloom.formats.provabgs_model import BASIS_FILES
from tests.archive import Archive, serving
from tests.end_to_end.conftest import ROOT, copy_project, run

pytestmark = pytest.mark.end_to_end
REDUX = "/edr/spectro/redux/fuji"
VIEWER = "/viewer/fits-cutout"
TARGETS = [f"results/desi/tokens/{name}/statistics.json" for name in ("spectrum", "image")]
PRESET = yaml.safe_load((ROOT / "resources/presets/desi_legacy.yaml").read_text())


class Viewer:
    """Cutouts of the sky of a mock survey: the image whose centre is nearest, black where there is none."""

    def __init__(self, paths):
        self.tables = [(path, legacy.read_cutout_catalog(path)) for path in sorted(paths)]

    def __call__(self, path, query):
        if path != VIEWER:
            return None
        given = {key: value[0] for key, value in parse_qs(query).items()}
        assert (given["layer"], given["bands"], given["size"], given["pixscale"]) == ("ls-dr9", "grz", "152", "0.262")
        ra, dec = float(given["ra"]), float(given["dec"])
        image, nearest = np.zeros((3, 152, 152), "f4"), 2 / 3600
        for file, table in self.tables:
            apart = np.hypot((table["ra"] - ra) * np.cos(np.radians(dec)), table["dec"] - dec)
            if apart.min() < nearest:
                image, nearest = legacy.read_cutouts(file, [int(np.argmin(apart))])[0], apart.min()
        body = io.BytesIO()
        fits.PrimaryHDU(image).writeto(body)
        return body.getvalue()


@pytest.fixture(scope="module")
def mock(tmp_path_factory) -> Path:
    """A folder with the tokens of a tiny mock survey, and its raw files."""
    folder = copy_project(tmp_path_factory.mktemp("archives") / "skyloom")
    targets = [target.replace("/desi/", "/mock/") for target in TARGETS]
    done = run(folder, *targets, "--configfile", "tiny.yaml", "--cores", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def fitted(path: Path, changed: Path) -> Path:
    """A copy of the property table whose best fits are of constant star formation at solar metallicity."""
    table = provabgs.read_properties(path)
    table["PROVABGS_THETA_BF"] = np.tile([10.0, 0, 0, 1.0, 0, 0, 5.0, 0.0134, 0, 0, 0, 0, 0], (len(table), 1))
    provabgs.write_properties(changed, table)
    return changed


def bases(folder: Path) -> str:
    """Bases of PROVABGS, the third of star formation and the first of metallicity constant."""
    folder.mkdir()
    np.savetxt(folder / BASIS_FILES["sfh"], np.ones((4, 50)))
    np.savetxt(folder / BASIS_FILES["zh"], np.ones((2, 50)))
    np.savetxt(folder / BASIS_FILES["time"], np.linspace(13.6, 0.07, 50))
    return str(folder)


@pytest.fixture
def archive(mock):
    raw = mock / "results/mock/raw"
    files = {f"{REDUX}/healpix/{p.relative_to(raw / 'spectra/healpix')}": p for p in raw.rglob("coadd-*.fits")}
    files[f"{REDUX}/zcatalog/zall-pix-fuji.fits"] = raw / "zcatalog/zall-pix-mock.fits"
    published = "BGS_ANY_full.provabgs.{}.hdf5"
    provabgs = f"/edr/vac/edr/provabgs/v1.0/{published.format('sv3.v0')}"
    files[provabgs] = fitted(raw / "properties" / published.format("mock"), mock / "fitted.hdf5")
    with serving(Archive(files, Viewer(raw.rglob("images_*.h5")))) as made:
        yield made


def preset(folder: Path, archive: Archive, **more) -> tuple[str, ...]:
    """The preset on the tiny configuration with the server's address in place of the archives'."""
    given = {"addresses": {"desi": archive.url, "legacy": f"{archive.url}/viewer"}}
    given |= {"access": {"cutout_interval": 0.0, "pause": 0.0, "timeout": 20.0}, **more}
    (folder / "base.yaml").write_text(yaml.safe_dump({"surveys": {"desi": given}}))
    chosen = str(ROOT / "resources/presets/desi_legacy.yaml")
    return ("--configfile", "tiny.yaml", chosen, "base.yaml", "--cores", "1")


def coadds(archive: Archive) -> list[str]:
    return sorted(path for path, *_ in archive.seen if "/coadd-" in path)


def tokens(folder: Path, survey: str) -> dict[int, np.ndarray]:
    """The flux of every spectrum of a survey by TARGETID."""
    rows = {}
    for path in sorted((folder / f"results/{survey}/tokens/spectrum").glob("shard-*.h5")):
        with h5py.File(path) as shard:
            rows |= dict(zip(shard["targetid"][:].tolist(), shard["flux"][:], strict=True))
    return rows


@pytest.fixture
def project(tmp_path):
    return copy_project(tmp_path / "skyloom")


def test_the_preset_fetches_what_is_wanted_and_ends_with_the_galaxies_of_the_mock(mock, archive, project):
    some = next(path for path in archive.files if "/coadd-" in path)
    archive.faults[some] = ["drop:100000", 503]
    options = preset(project, archive, provabgs_bases=bases(project / "bases"))
    done = run(project, *TARGETS, *options)
    assert done.returncode == 0, done.stderr[-3000:]
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
    # nothing but what is wanted was asked for, the broken one from where it broke
    wanted = Table.read(project / "results/desi/raw/wanted.parquet")
    assert {path.rpartition("/")[2] for path in coadds(archive)} == {Path(p).name for p in wanted["coadd"]}
    assert [asked for path, asked, status in archive.seen if path == some] == ["", "bytes=100000-", "bytes=100000-"]
    assert sum(path == VIEWER for path, *_ in archive.seen) == len(wanted)
    # once the catalogue is there the plan is exact, and a second run asks for nothing
    archive.seen.clear()
    again = run(project, *TARGETS, *options)
    assert "Nothing to be done" in again.stderr and not archive.seen
    # another address, same files: nothing is fetched again
    moved = preset(project, archive, provabgs_bases=str(project / "bases"), access={"cutout_interval": 1.0, "tries": 3})
    assert "Nothing to be done" in run(project, *TARGETS, *moved).stderr


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


def on_disk(folder: Path) -> list[str]:
    """The coadds and images of a survey that lie there now."""
    raw = folder / "results/desi/raw"
    return sorted(
        path.name
        for part in ("spectra", "images")
        for path in (raw / part).rglob("*")
        if path.suffix in (".fits", ".h5")
    )


def test_a_survey_passes_through_a_disk_that_holds_one_shard_of_it(mock, archive, project):
    held, answer = [], archive.answers

    def watched(path, query):
        if "/coadd-" in path:
            held.append([name for name in on_disk(project) if name != path.rpartition("/")[2]])
        return answer(path, query)

    archive.answers = watched
    options = preset(project, archive, keep_raw=False, shards_in_flight=1, shards=3)
    done = run(project, *TARGETS, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(held) == 3 and all(not any(name.startswith("coadd") for name in names) for names in held)
    assert all(len(names) <= 1 for names in held) and on_disk(project) == []  # at most the images of the same shard
    there, here = tokens(mock, "mock"), tokens(project, "desi")
    common = set(there) & set(here)
    assert len(common) > 150 and all(np.array_equal(there[t], here[t]) for t in common)
    images = sum(len(h5py.File(path)["targetid"]) for path in project.glob("results/desi/tokens/image/shard-*.h5"))
    assert images > 150
    again = run(project, *TARGETS, *options)
    assert "Nothing to be done" in again.stderr


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
