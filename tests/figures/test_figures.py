"""Figures: the same bytes twice, nothing of the machine in them, and they hold up with odd data."""

import matplotlib
import numpy as np
import pandas
import pytest

from skyloom.analysis.catalog import figures as catalog
from skyloom.analysis.examples import figures as examples
from skyloom.core.errors import BadInput
from skyloom.figures import galaxies as pictures_of
from skyloom.figures import style
from skyloom.formats.desi import WAVELENGTH
from skyloom.tokens.store import write_shard


def galaxies(n=300, seed=0):
    rng = np.random.default_rng(seed)
    columns = {"ra": rng.normal(0, 2, n) % 360, "dec": rng.normal(30, 2, n), "z": rng.gamma(4, 0.05, n)}
    columns |= {f"mag_{band}": rng.normal(19, 1, n) for band in "grz"}
    split = rng.choice(["train", "validation", "test"], n, p=[0.8, 0.1, 0.1])
    return pandas.DataFrame({**columns, "split": split}, index=pandas.Index(np.arange(n), name="targetid"))


def shards(folder, targetid):
    rng = np.random.default_rng(0)
    n = len(targetid)
    flux = rng.normal(5, 1, (n, len(WAVELENGTH)))
    ivar = np.ones_like(flux)
    ivar[:, 1000:1100] = 0
    flux[:, 1000:1100] = 1e6  # masked: must not set the scale
    write_shard(folder / "image.h5", targetid, {"rgb": rng.random((n, 3, 32, 32))})
    write_shard(folder / "spectrum.h5", targetid, {"flux": flux, "ivar": ivar})
    return [folder / "image.h5"], [folder / "spectrum.h5"]


def test_png_is_reproducible_and_says_nothing_of_the_machine(tmp_path):
    table = galaxies()
    for name in ("a.png", "b.png"):
        catalog.draw_catalog(table, tmp_path / name)
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG") and b"tEXt" not in first and b"tIME" not in first


def test_the_users_settings_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    catalog.draw_catalog(galaxies(), tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_catalog_with_missing_magnitudes_and_one_split(tmp_path):
    table = galaxies(20).assign(split="test", mag_z=np.nan)
    catalog.draw_catalog(table, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_a_field_across_ra_zero_is_drawn_in_one_piece():
    fig = style.figure(3)
    axis = fig.subplots()
    catalog._sky(axis, galaxies())
    right, left = axis.get_xlim()
    assert right > left and right - left < 40  # east to the left, and not 360 degrees wide


def test_masked_pixels_do_not_set_the_scale():
    axis = style.figure(2).subplots()
    flux, ivar = np.full(len(WAVELENGTH), 5.0), np.ones(len(WAVELENGTH))
    flux[::7] = 6
    flux[2000:2100], ivar[2000:2100] = 1e6, 0
    pictures_of.draw_spectrum(axis, flux, ivar, z=0.2)
    assert axis.get_ylim()[1] < 10


def test_lines_are_marked_at_their_observed_wavelength():
    axis = style.figure(2).subplots()
    axis.set_xlim(3600, 9824)
    pictures_of.mark_lines(axis, 0.3, "k")
    marks = {text.get_text(): text.get_position()[0] for text in axis.texts}
    assert marks["Hα"] == pytest.approx(6564.6 * 1.3) and "[OII]" in marks
    axis = style.figure(2).subplots()
    axis.set_xlim(3600, 9824)
    pictures_of.mark_lines(axis, 0.6, "k")
    assert "Hα" not in [text.get_text() for text in axis.texts]  # beyond the red end


def test_examples_show_galaxies_that_have_both(tmp_path):
    table = galaxies(30)
    images, _ = shards(tmp_path, np.arange(20))
    (tmp_path / "other").mkdir()
    _, spectra = shards(tmp_path / "other", np.arange(10, 30))
    examples.draw_examples(table, images, spectra, tmp_path / "a.png", count=3)
    assert (tmp_path / "a.png").stat().st_size > 5000
    with pytest.raises(BadInput, match="no galaxy has both an image and a spectrum"):
        examples.draw_examples(table.loc[:5], images, spectra, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_examples_with_hsc_images_of_some(tmp_path):
    images, spectra = shards(tmp_path, np.arange(20))
    flux = np.random.default_rng(0).normal(0.01, 0.01, (5, 5, 64, 64))
    write_shard(tmp_path / "hsc.h5", np.arange(5), {"flux": flux})
    examples.draw_examples(galaxies(30), images, spectra, tmp_path / "a.png", 3, hsc_shards=[tmp_path / "hsc.h5"])
    assert (tmp_path / "a.png").stat().st_size > 5000
    pictures = examples._hsc_pictures([tmp_path / "hsc.h5"], np.array([7, 3]))
    assert (pictures[0] == 1).all() and pictures[1].std() > 0.01


def test_an_untrained_model_has_the_colour_of_its_family():
    assert style.colour("specformer_untrained") == style.colour("specformer") != style.colour("astrodino")
    assert style.pretty("specformer_untrained") == "specformer (untrained)" and style.pretty("pca_image") == "PCA"
    assert style.source("hsc_image") == "HSC image" and style.source("image->spectrum") == "image->spectrum"
