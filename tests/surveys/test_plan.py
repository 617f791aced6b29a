"""What fetching a survey would take, asked of a server that knows the sizes."""

import dataclasses

import pytest
from astropy.table import Table

from skyloom.core.errors import NotAvailable, SkyloomError
from skyloom.settings import listing
from skyloom.settings.config import Survey, load
from skyloom.settings.section import parse
from skyloom.surveys import desi
from skyloom.surveys.common import plan, web
from tests.archive import Archive, serving

REDUX = "/edr/spectro/redux/fuji/healpix"
CUTOUT = 3 * 152 * 152 * 4
BRICKS = ("dr9/south/112/1126p222", "dr9/south/112/1128p222", "dr9/north/112/1130p350")
BAND = 5000  # bytes of a brick in a band


def coadd(n: int) -> str:
    return f"spectra/healpix/sv3/bright/{n}.fits"


def listed(parts=(), own_bricks: bool = False) -> list[listing.Listed]:
    """Three coadds of ten galaxies and their images; what these are made of."""
    files = [listing.Listed("coadd", coadd(n), 10, coadd(n)) for n in range(3)]
    files += [listing.Listed("images", f"images/0/{n}.h5", 10, coadd(n), "d", tuple(parts)) for n in range(3)]
    if own_bricks:
        files += [listing.Listed("bricks", name, 10) for part in parts for name in desi.KIND.parts(part)]
    return files


class Planned:
    """A plan: what was said, and the rows of its table by role."""

    def __init__(self, folder, monkeypatch, files, free: int = 30_000_000, **more):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr("skyloom.surveys.common.plan.shutil.disk_usage", lambda folder: usage)
        (folder / "spectra/healpix/sv3/bright").mkdir(parents=True, exist_ok=True)
        (folder / coadd(0)).write_bytes(bytes(500))
        served = {f"{REDUX}/sv3/bright/{n}.fits": bytes(1000 * n) for n in range(3)}
        for part in {part for file in files for part in file.parts}:
            release, region, rest = part.split("/", 2)
            for name in desi.KIND.parts(part):
                served[f"/{release}/{region}/coadd/{rest}/{name.rpartition('/')[2]}"] = bytes(BAND)
        with serving(Archive(served)) as archive:
            entry = {"kind": "desi", "release": "edr", "modalities": ["spectrum", "image"], **more}
            entry["addresses"] = {"desi": archive.url, "bricks": archive.url}
            settings = parse(desi.DesiSettings, entry, "surveys.own")
            survey = Survey("own", "desi", dataclasses.replace(desi.KIND, raw_files=lambda settings: {}), settings)
            monkeypatch.setattr("skyloom.settings.config.listing.read", lambda path, key: tuple(files))
            self.said = []
            plan.plan(survey, str(folder), folder / "plan.csv", self.said.append)
            self.sent = archive.sent
        table = Table.read(folder / "plan.csv", format="csv")
        self.rows = {row["role"]: tuple(int(value) for value in list(row)[1:]) for row in table}


def test_files_and_cutouts_that_are_missing_are_counted(tmp_path, monkeypatch):
    planned = Planned(tmp_path, monkeypatch, listed())
    assert planned.rows["coadd"] == (1, 500, 2, 3000, 3000, 2)
    assert planned.rows["images"] == (0, 0, 3, 30 * CUTOUT, 30 * CUTOUT, 30)
    assert planned.said[0] == "coadd: 2 files to come, 0.000 GB to fetch in 2 requests; 1 are here, 0.000 GB"
    assert not any(planned.sent.values())  # sizes are asked for, not files


def test_of_bricks_that_stay_each_is_fetched_once(tmp_path, monkeypatch):
    planned = Planned(tmp_path, monkeypatch, listed(BRICKS, own_bricks=True), images="bricks-dr9")
    assert planned.rows["bricks"] == (0, 0, 9, 9 * BAND, 9 * BAND, 9)
    assert planned.rows["images"] == (0, 0, 3, 30 * CUTOUT, 0, 0)  # cut out of them


def test_of_bricks_that_go_each_is_fetched_for_every_file_that_needs_it(tmp_path, monkeypatch):
    planned = Planned(tmp_path, monkeypatch, listed(BRICKS), images="bricks-dr9", keep_raw=False, shards=3)
    assert planned.rows["images"] == (0, 0, 3, 30 * CUTOUT, 27 * BAND, 27)


def test_what_does_not_fit_is_refused(tmp_path, monkeypatch):
    with pytest.raises(SkyloomError, match=r"own: 0.0.. GB are needed, 0.001 GB are free.*keep_raw: false.*most_files"):
        Planned(tmp_path, monkeypatch, listed(), free=1_000_000)


def test_a_survey_whose_files_pass_through_needs_room_for_the_shards_in_flight(tmp_path, monkeypatch):
    tokens = 30 * (7781 * 8 + 96**2 * 3 * 8)
    shard = 10 * CUTOUT + 2000  # of the largest: its coadd and its images
    more = {"keep_raw": False, "shards": 3}
    Planned(tmp_path, monkeypatch, listed(), free=tokens + shard + 100, shards_in_flight=1, **more)
    for free, flying in ((tokens + shard - 1000, 1), (tokens + 2 * shard - 2000, 2), (tokens + shard, 3)):
        with pytest.raises(SkyloomError, match="are needed"):
            Planned(tmp_path, monkeypatch, listed(), free=free, shards_in_flight=flying, **more)
    with pytest.raises(SkyloomError, match="are needed"):
        Planned(tmp_path, monkeypatch, listed(), free=tokens + shard + 100)  # all of it at once


def test_hours_are_those_of_the_rate_or_of_the_pauses(tmp_path, monkeypatch):
    slow = Planned(tmp_path, monkeypatch, listed(), access={"cutout_interval": 3600.0})
    assert "30.00 h at 10 MB/s" in slow.said[-1]
    rate = (30 * CUTOUT + 3000) / 7200 / 1e6
    limited = Planned(tmp_path, monkeypatch, listed(), access={"rate": rate, "cutout_interval": 0.0})
    assert "2.00 h at" in limited.said[-1]


def test_many_files_are_counted_by_some_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "ASKED", 1)
    planned = Planned(tmp_path, monkeypatch, listed())
    assert planned.rows["coadd"] == (1, 500, 2, 2000, 2000, 2) and "about" in planned.said[0]


def test_a_coadd_that_the_archive_lacks_is_named_and_a_brick_that_it_lacks_counts_as_nothing(tmp_path, monkeypatch):
    files = [*listed(("dr9/south/999/9999p222",)), listing.Listed("coadd", coadd(77), 1, coadd(77))]
    monkeypatch.setattr("tests.surveys.test_plan.BAND", 0)
    with pytest.raises(NotAvailable, match=r"77.fits: HTTP 404"):
        Planned(tmp_path, monkeypatch, files, images="bricks-dr9", keep_raw=False)


def test_files_that_a_survey_names_by_their_url_are_counted_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serving(Archive({"/a.h5": bytes(1000), "/b.h5": bytes(3000)})) as archive:
        given = {"kind": "spectra", "files": [f"{archive.url}/a.h5#md5={'0' * 32}", f"{archive.url}/b.h5"]}
        survey = load({"seed": 1, "threads": 1, "report": [], "surveys": {"own": given}, "models": {}, "analyses": {}})
        here = tmp_path / web.place(given["files"][0])
        here.parent.mkdir(parents=True)
        here.write_bytes(bytes(1000))
        said = []
        (tmp_path / "raw").mkdir()
        plan.plan(survey.surveys["own"], "raw", tmp_path / "plan.csv", said.append)
        assert said[0] == "downloads: 1 files to come, 0.000 GB to fetch in 1 requests; 1 are here, 0.000 GB"
        usage = type("Usage", (), {"free": 2999})
        monkeypatch.setattr("skyloom.surveys.common.plan.shutil.disk_usage", lambda folder: usage)
        with pytest.raises(SkyloomError, match="own: 0.000 GB are needed.*work in a folder on another disk"):
            plan.plan(survey.surveys["own"], "raw", tmp_path / "plan.csv", said.append)
