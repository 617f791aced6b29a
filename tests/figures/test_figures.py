"""Figures: the same bytes twice, nothing of the machine in them, and they hold up with odd data."""

import matplotlib
import numpy as np
import pandas
import pytest

from skyloom.analysis.catalog import figures as catalog
from skyloom.analysis.examples import figures as examples
from skyloom.core.errors import BadInput
from skyloom.figures import galaxies as pictures_of
from skyloom.figures import html, samples, style
from skyloom.formats.desi import WAVELENGTH
from skyloom.tokens.images import arcsinh_rgb, hsc_rgb
from skyloom.tokens.store import write_shard

GRID = {"wavelength_start": WAVELENGTH[0], "wavelength_step": 0.8}


def galaxies(n=300, seed=0):
    rng = np.random.default_rng(seed)
    columns = {"ra": rng.normal(0, 2, n) % 360, "dec": rng.normal(30, 2, n), "z": rng.gamma(4, 0.05, n)}
    columns |= {f"mag_{band}": rng.normal(19, 1, n) for band in "grz"}
    split = rng.choice(["train", "validation", "test"], n, p=[0.8, 0.1, 0.1])
    return pandas.DataFrame({**columns, "split": split}, index=pandas.Index(np.arange(n), name="targetid"))


def tokens(folder, image=(), spectrum=(), hsc_image=(), lsst=()):
    """Token shards of these galaxies, by modality, as pictures."""
    rng = np.random.default_rng(0)
    flux = rng.normal(5, 1, (len(spectrum), len(WAVELENGTH)))
    ivar = np.ones_like(flux)
    ivar[:, 1000:1100] = 0
    flux[:, 1000:1100] = 1e6  # masked: must not set the scale
    arrays = {
        "image": (image, {"rgb": rng.random((len(image), 3, 32, 32)), "flux": np.zeros((len(image), 3, 32, 32))}),
        "spectrum": (spectrum, {"flux": flux, "ivar": ivar}),
        "hsc_image": (hsc_image, {"flux": rng.normal(0.01, 0.01, (len(hsc_image), 5, 64, 64))}),
        "lsst": (lsst, {"values": rng.normal(20, 1, (len(lsst), 6))}),
    }
    found = []
    for modality, (targetid, data) in arrays.items():
        if len(targetid):
            write_shard(folder / f"{modality}.h5", targetid, data, GRID if modality == "spectrum" else None)
            found.append(samples.Pictures(modality, [folder / f"{modality}.h5"]))
    return found


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, as matplotlib has them."""
    found, save = [], style.save
    monkeypatch.setattr(style, "save", lambda fig, path: (found.append(fig), save(fig, path)))
    return found


def titles(fig):
    return [axis.get_title("left") or axis.get_title() for axis in fig.axes]


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


def shown(fig):
    """What the axes with data show: (x label, y label)."""
    return [(axis.get_xlabel(), axis.get_ylabel()) for axis in fig.axes if axis.get_xlabel()]


def test_the_catalogue_shows_what_the_table_has(tmp_path, drawn):
    table = galaxies(40)
    catalog.draw_catalog(table, tmp_path / "a.png")
    catalog.draw_catalog(table.assign(split="test", mag_z=np.nan), tmp_path / "b.png")
    masses = table[["ra", "dec", "z", "split"]].assign(log_mstar=10.0 + table["z"])
    catalog.draw_catalog(masses, tmp_path / "c.png")
    whole, without_z, simulated = map(shown, drawn)
    assert len(whole) == 6 and ("g - r [mag]", "r - z [mag]") in whole
    assert set(whole) - set(without_z) == {("g - r [mag]", "r - z [mag]")}
    mass = "log M* [Msun]"
    fraction = "fraction of the split"
    assert simulated == [("redshift", fraction), (mass, fraction), ("redshift", mass), ("RA [deg]", "Dec [deg]")]


def test_each_split_has_its_own_bars(tmp_path, drawn):
    catalog.draw_catalog(galaxies(20).assign(split="test"), tmp_path / "a.png")
    colours = {patch.get_edgecolor() for patch in drawn[0].axes[0].patches}
    assert colours == {matplotlib.colors.to_rgba(style.SPLITS["test"])}


def test_a_handful_of_galaxies_is_shown_whole(tmp_path, drawn):
    table = galaxies(2).assign(split="test", z=[0.1, 0.4])
    catalog.draw_catalog(table, tmp_path / "a.png")
    (bars,) = drawn[0].axes[0].patches
    assert bars.get_xy()[:, 1].max() == 0.5 and bars.get_xy()[:, 0].min() == pytest.approx(0.1)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["test (2)"]


def test_a_table_of_nothing_says_so(tmp_path, drawn):
    catalog.draw_catalog(galaxies(5)[["split"]], tmp_path / "a.png")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == [
        "the catalogue has no positions, redshifts or magnitudes"
    ]


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
    pictures_of.draw_spectrum(axis, WAVELENGTH, flux, ivar, z=0.2)
    assert axis.get_ylim()[1] < 10


def test_the_noisy_ends_of_a_range_do_not_set_the_scale():
    axis = style.figure(2).subplots()
    flux, ivar = np.full(len(WAVELENGTH), 5.0), np.ones(len(WAVELENGTH))
    flux[3000:3010] = 9  # a line
    flux[-40:], ivar[-40:] = -300, 0.01
    pictures_of.draw_spectrum(axis, WAVELENGTH, flux, ivar)
    low, high = axis.get_ylim()
    assert low > 0 and 8 < high < 12


def test_a_spectrum_is_drawn_on_the_grid_that_its_shard_states(tmp_path):
    flux = np.ones((1, 531))
    flux[0, 300] = 50
    grid = {"wavelength_start": 11900.0, "wavelength_step": 13.4}
    write_shard(tmp_path / "grism.h5", [7], {"flux": flux, "ivar": np.ones_like(flux)}, grid)
    shown = samples.Pictures("spectrum", [tmp_path / "grism.h5"])
    assert shown.form == samples.SPECTRUM
    axis = style.figure(2).subplots()
    samples.draw(axis, shown.form, shown.read(7), z=1.0)
    assert axis.get_xlim() == pytest.approx((11900, 11900 + 13.4 * 530))
    wavelength, drawn = axis.lines[1].get_data()
    assert wavelength[drawn.argmax()] == pytest.approx(11900 + 13.4 * 300) and drawn.max() == pytest.approx(50)
    assert "Hα" in [text.get_text() for text in axis.texts]


def test_values_without_wavelengths_are_no_spectrum(tmp_path):
    write_shard(tmp_path / "other.h5", [7], {"flux": np.ones((1, 531)), "ivar": np.ones((1, 531))})
    assert samples.Pictures("spectrum", [tmp_path / "other.h5"]).form == samples.LINE


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


def test_examples_show_galaxies_that_have_most_of_the_modalities(tmp_path, drawn):
    table = galaxies(30)
    pictures = tokens(tmp_path, image=np.arange(20), spectrum=np.arange(10, 30))
    chosen = examples.choose(table["z"], pictures, 3)
    assert (
        len(chosen) == 3
        and chosen.index.is_unique
        and set(chosen.index) <= set(range(10, 20))
        and chosen.is_monotonic_increasing
    )
    examples.draw_examples(table, pictures, tmp_path / "a.png", count=3)
    assert [t for t in titles(drawn[0]) if "TARGETID" in t] == [
        f"TARGETID {targetid}, z = {z:.4f}" for targetid, z in chosen.items()
    ]
    left = [row.images[0].get_array() for row in drawn[0].axes[::2]]
    assert len(left) == 3 and all(picture.shape == (32, 32, 3) for picture in left)
    assert len(examples.choose(table.loc[:5, "z"], pictures, 3)) == 3  # with an image and no spectrum
    assert examples.choose(table["z"].iloc[:5], pictures, 5).index.is_unique  # few galaxies: each once
    with pytest.raises(BadInput, match="no galaxy of the catalogue is in the token shards of image, spectrum"):
        examples.draw_examples(table.iloc[:0], pictures, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("modalities", [["spectrum"], ["image"], ["lsst"], ["lsst", "hsc_image"]])
def test_examples_of_any_modalities(tmp_path, drawn, modalities):
    pictures = tokens(tmp_path, **dict.fromkeys(modalities, np.arange(8)))
    examples.draw_examples(galaxies(8), pictures, tmp_path / "a.png", 2)
    axes = drawn[0].axes
    assert len(axes) == 2 * len(modalities)
    assert all(axis.images or axis.lines for axis in axes)
    forms = [shown.form for shown in pictures]
    assert [bool(axis.images) for axis in axes[: len(forms)]] == sorted(f == samples.IMAGE for f in forms)[::-1]


def test_a_galaxy_without_an_image_has_an_empty_place(tmp_path, drawn):
    pictures = tokens(tmp_path, image=[0], spectrum=[1])
    examples.draw_examples(galaxies(2), pictures, tmp_path / "a.png", 2)
    assert sorted(bool(axis.images) for axis in drawn[0].axes[::2]) == [False, True]


def test_pictures_are_read_as_their_datasets_say(tmp_path):
    image, spectrum, hsc, lsst = tokens(tmp_path, [3, 5], [3], [5], [3])
    assert [p.form for p in (image, spectrum, hsc, lsst)] == [samples.IMAGE, samples.SPECTRUM, samples.IMAGE, "line"]
    assert spectrum.read(3).shape == (3, len(WAVELENGTH)) and lsst.read(3).shape == (6,) and lsst.read(5) is None
    raw = np.random.default_rng(1).normal(0.1, 0.1, (2, 5, 8, 8)).astype("f4")
    write_shard(tmp_path / "five.h5", [1, 2], {"flux": raw})
    write_shard(tmp_path / "three.h5", [1, 2], {"flux": raw[:, :3]})
    assert np.array_equal(samples.Pictures("x", [tmp_path / "five.h5"]).read(2), hsc_rgb(raw[1]))
    assert np.array_equal(samples.Pictures("x", [tmp_path / "three.h5"]).read(2), arcsinh_rgb(raw[1, :3]))
    with pytest.raises(BadInput, match="lsst.h5: targetid 4 has an embedding but no lsst in the token shards"):
        lsst.need(4)
    write_shard(tmp_path / "odd.h5", [1], {"cube": np.zeros((1, 2, 2, 2))})
    with pytest.raises(BadInput, match="odd.h5: nothing to draw among cube"):
        samples.Pictures("x", [tmp_path / "odd.h5"])


def test_only_a_png_becomes_a_figure_of_a_page(tmp_path):
    style.nothing("nothing to see", tmp_path / "a.png")
    found = html.figure(tmp_path / "a.png", "A caption.")
    assert found["uri"].startswith("data:image/png;base64,") and found["caption"] == "A caption."
    (tmp_path / "b.png").write_bytes(b"GIF89a")
    with pytest.raises(BadInput, match="b.png: not a PNG"):
        html.figure(tmp_path / "b.png", "")


def test_models_are_ordered_by_their_traits():
    traits = {"baseline": {"baseline": True, "trained": False}, "untrained": {"trained": False}, "trained": {}}
    traits |= {"aligned": {"backbones": True}, "photometry": {"baseline": True, "photometry": True}}
    assert sorted(traits, key=lambda name: style.rank(traits[name])) == [
        "photometry", "baseline", "untrained", "trained", "aligned",
    ]  # fmt: skip


def test_a_figure_is_written_in_another_form_too_where_that_is_wanted(tmp_path):
    png, pdf, svg = (tmp_path / f"a.{form}" for form in ("png", "pdf", "svg"))
    for other in (pdf, svg):
        contents = []
        for _ in range(2):
            fig = style.figure(height=2)
            axis = fig.subplots()
            axis.plot(np.random.default_rng(0).normal(size=200_000), ".", ms=1)
            axis.set_xlabel("redshift")
            with style.also({str(png): str(other)}):
                style.save(fig, png)
            contents.append(other.read_bytes())
        assert contents[0] == contents[1] and len(contents[0]) < 1_000_000  # 200,000 points would take many megabytes
    assert b"redshift" in svg.read_bytes() and b"<image" in svg.read_bytes() and pdf.read_bytes().startswith(b"%PDF")
    style.save(style.figure(height=1), tmp_path / "b.png")
    assert not (tmp_path / "b.pdf").exists()
