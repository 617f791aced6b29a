"""The catalogue of files of samples: numbers that stay, what is known of the objects, their images, what was lost."""

import h5py
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest

from skyloom.catalog.columns import GALAXIES
from skyloom.catalog.file_rows import target_numbers
from skyloom.catalog.files import build_galaxies
from skyloom.catalog.galaxies import write_splits
from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import galaxiesml, legacy
from skyloom.formats.spectrum_parts import convert
from skyloom.tokens.images import tokenize_hsc_images, tokenize_images
from skyloom.tokens.own_spectra import tokenize_own_spectra
from skyloom.tokens.store import Shards, verify
from tests.formats import images as made_images

GRID = {"start": 4000.0, "step": 2.0, "pixels": 400}
WAVE = 3990 + 1.5 * np.arange(600)


def write(path, rows=6, **columns):
    path.parent.mkdir(exist_ok=True, parents=True)
    rng = np.random.default_rng(len(str(path.name)))
    with h5py.File(path, "w") as file:
        file["flux"], file["wave"] = rng.normal(5, 1, (rows, len(WAVE))), WAVE
        for name, values in columns.items():
            file[name] = values
    return path


def made(folder, files, config=None, known=()):
    """Galaxies and flow table of a survey of one part a file."""
    parts = [folder / f"spectra-{number:04d}.h5" for number in range(len(files))]
    for path, part in zip(files, parts, strict=True):
        convert({str(path): path}, "auto", None, GRID, 0.1, part)
    given = {"parts": parts, "known": known}
    build_galaxies("mine", config or {"shards": 1}, given, folder / "galaxies.parquet", folder / "cuts.csv")
    return pandas.read_parquet(folder / "galaxies.parquet"), pandas.read_csv(folder / "cuts.csv"), parts


def test_a_galaxy_has_the_columns_of_other_surveys_and_its_place_in_the_users_file(tmp_path):
    first = write(tmp_path / "a" / "x.h5", targetid=np.arange(6) + 100, z=np.full(6, 0.3), log_mstar=np.full(6, 10.5))
    second = write(tmp_path / "b" / "x.h5", ra=np.full(6, -10.0), dec=[0, 10, 20, 30, 95, np.nan])
    galaxies, _, _ = made(tmp_path, [first, second], {"shards": 2})
    assert set(GALAXIES) < set(galaxies) and galaxies.targetid.is_monotonic_increasing
    known = galaxies[galaxies.identifier.str.isdigit()].set_index("identifier")
    assert known.targetid.tolist() == [100, 101, 102, 103, 104, 105] and (known.spectrum_file == "a/x.h5").all()
    assert known.spectrum_row.tolist() == list(range(6)) and (known.z == 0.3).all() and (known.healpix == -1).all()
    rest = galaxies[galaxies.spectrum_file == "b/x.h5"].sort_values("spectrum_row")
    assert rest.identifier.tolist() == [f"x:{row}" for row in range(6)] and rest.z.isna().all()
    assert (rest.ra.to_numpy()[:4] == 350).all()
    assert np.isnan(rest.dec.to_numpy()[4:]).all() and (rest.healpix.to_numpy()[:4] >= 0).all()
    assert set(known.shard) == {0} and set(rest.shard) == {1} and galaxies.ivar_estimated.all()
    schema = pq.read_schema(tmp_path / "galaxies.parquet")
    assert schema.field("ivar_estimated").type == "bool" and schema.field("identifier").metadata[b"ucd"] == b"meta.id"


def test_numbers_are_the_identifiers_or_stay_the_same_when_files_are_added():
    names = np.array(["39633345008634465", "-5", "007", "spec-1", "9" * 30, "twin", "twin"], dtype=object)
    files, rows = np.array(["f.h5"] * 7, dtype=object), np.arange(7)
    found = target_numbers(names, files, rows)
    assert found[0] == 39633345008634465 and found[1] == -5 and len(set(found)) == 7
    assert (found[2:] > 0).all() and found[2] != 7
    assert found[3] == 0x59DC7909BE09EF9C  # sha256sum of "spec-1", 63 bits
    more = target_numbers(np.append(["new"], names), np.append(["e.h5"], files), np.append([0], rows))
    np.testing.assert_array_equal(more[1:], found)


def test_the_flow_table_counts_what_was_put_aside_by_its_reason(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["flux"][2:4] = 0
    broken = tmp_path / "b.h5"
    broken.write_bytes(b"nothing")
    galaxies, flow, _ = made(tmp_path, [path, broken])
    assert len(galaxies) == 4
    assert flow[["step", "cut", "kept", "lost"]].values.tolist() == [
        ["spectra", "rows read", 7, 0],
        ["quarantine", "flux is zero or NaN everywhere", 5, 2],
        ["quarantine", "the file cannot be read", 4, 1],
    ]


def test_when_no_file_can_be_read_one_line_says_why(tmp_path):
    files = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path in files:
        path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"mine: no galaxy left: 'the file cannot be read' \(.*a.h5: .*not a readable"):
        made(tmp_path, files)


def test_tables_beside_the_spectra_say_what_is_known_of_them(tmp_path):
    path = write(tmp_path / "a.h5", targetid=np.arange(6) + 10**17, z=np.full(6, 0.3))
    (tmp_path / "z.csv").write_text(f"id,zspec,type\n{10**17 + 2},1.5,QSO\n{10**17 + 3},,STAR\n99,0.7,GALAXY\n")
    catalog = {"files": ["z.csv"], "identifier": {"column": "id"}, "redshift": {"column": "zspec"}}
    config = {"shards": 1, "catalog": {**catalog, "class": {"column": "type"}}}
    galaxies, _, _ = made(tmp_path, [path], config, [tmp_path / "z.csv"])
    assert galaxies.z.tolist() == [0.3, 0.3, 1.5, 0.3, 0.3, 0.3]
    assert galaxies.spectype.tolist() == ["", "", "QSO", "STAR", "", ""]
    (tmp_path / "z.csv").write_text("id,zspec,type\n99,0.7,GALAXY\n")
    with pytest.raises(BadInput, match=f"no identifier is that of a galaxy; it has 99, the galaxies have {10**17}"):
        made(tmp_path, [path], config, [tmp_path / "z.csv"])


def test_values_that_cannot_be_are_missing_and_counted(tmp_path):
    path = write(tmp_path / "a.h5", z=[0.1, -999, 0.2, 99, 0.3, np.nan])
    galaxies, flow, _ = made(tmp_path, [path])
    assert sorted(galaxies.z.dropna()) == [0.1, 0.2, 0.3] and flow[flow.step == "values"].lost.tolist() == [2]


def test_shards_hold_the_spectra_of_their_galaxies_and_say_what_is_not_there(tmp_path):
    files = [write(tmp_path / f"{name}.h5", rows=3 + len(name)) for name in ("a", "bb", "ccc")]
    with h5py.File(files[2], "r+") as file:
        file["flux"][0] = np.nan
    galaxies, _, parts = made(tmp_path, files, {"shards": 2})
    rows = 0
    for shard in range(2):
        out, aside = tmp_path / f"shard-{shard}.h5", tmp_path / f"quarantine-{shard}.csv"
        tokenize_own_spectra(tmp_path / "galaxies.parquet", parts[shard::2], GRID, shard, out, aside)
        verify(out)
        tokens = Shards([out])
        assert tokens.attrs["wavelength_start"] == 4000 and tokens.attrs["wavelength_step"] == 2
        assert tokens.attrs["modality"] == "spectrum" and tokens.shapes == {"flux": (400,), "ivar": (400,)}
        assert set(tokens.targetid) == set(galaxies[galaxies.shard == shard].targetid)
        rows += len(tokens)
        for row in galaxies[galaxies.shard == shard].itertuples():
            flux = tokens.read(tokens.rows(np.array([row.targetid])))["flux"][0]
            with h5py.File(tmp_path / row.spectrum_file) as file:
                expected = file["flux"][row.spectrum_row]
            middle = slice(50, 350)
            nearest = expected[np.abs(WAVE[:, None] - (4000 + 2.0 * np.arange(400))).argmin(0)]
            assert np.corrcoef(flux[middle], nearest[middle])[0, 1] > 0.6
    assert rows == len(galaxies) == 14
    lost = pandas.read_csv(tmp_path / "quarantine-0.csv")
    assert lost.values.tolist() == [[-1, str(files[2]), 0, "flux is zero or NaN everywhere"]]


def test_spectra_without_positions_are_split(tmp_path):
    made(tmp_path, [write(tmp_path / "a.h5", rows=200)])
    config = {"seed": 1, "split": {"kind": "random", "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}}}
    write_splits(tmp_path / "galaxies.parquet", config, tmp_path / "splits.parquet", tmp_path / "shared.json")
    counts = pandas.read_parquet(tmp_path / "splits.parquet").split.value_counts()
    assert counts.train > 90 and counts.validation > 15 and counts.test > 15


# --- images


SKY = {"ra": 10 + np.arange(6) * 0.01, "dec": np.zeros(6)}
IMAGES = np.random.default_rng(3).normal(1, 0.1, (6, 3, 152, 152)).astype("f4")
BOTH = {"shards": 1, "modalities": ["spectrum", "image"]}


def stein(path, ra, dec, release=9010):
    n = len(ra)
    key = {"release": np.full(n, release), "brickid": np.arange(n), "objid": np.arange(n)}
    known = {"ebv": np.full(n, 0.1), "z_spec": np.full(n, 0.7)}
    path.parent.mkdir(exist_ok=True, parents=True)
    legacy.write_cutouts(path, IMAGES[:n], {"ra": ra, "dec": dec, "flux": np.full((n, 3), 10.0), **key, **known})
    return path


def catalogued(folder, config, **files):
    build_galaxies("mine", config, files, folder / "galaxies.parquet", folder / "cuts.csv")
    galaxies = pandas.read_parquet(folder / "galaxies.parquet")
    return galaxies, pandas.read_csv(folder / "cuts.csv")[["step", "cut", "kept", "lost"]].values.tolist()


def part_of(folder, path):
    convert({str(path): path}, "auto", None, GRID, 0.1, folder / "spectra-0000.h5")
    return [folder / "spectra-0000.h5"]


def test_images_of_north_and_south_are_joined_by_position_though_their_files_share_a_name(tmp_path):
    spectra = write(tmp_path / "a.h5", targetid=np.arange(6) + 100, z=[0.3] * 5 + [np.nan], **SKY)
    north = stein(tmp_path / "north/images_npix152_000000000_001000000.h5", SKY["ra"][:3], np.full(3, 0.5 / 3600))
    south = stein(tmp_path / "south/images_npix152_000000000_001000000.h5", SKY["ra"][3:5], np.full(2, 3.0 / 3600))
    files = {"parts": part_of(tmp_path, spectra), "image": [south, north]}
    galaxies, flow = catalogued(tmp_path, BOTH, **files)
    assert galaxies.targetid.tolist() == [100, 101, 102] and set(galaxies.image_file) == {f"north/{north.name}"}
    assert flow[1:] == [["image", "image within 1 arcsec", 3, 3], ["image", "image not closer to another galaxy", 3, 0]]
    np.testing.assert_allclose(galaxies.separation_arcsec, 0.5, rtol=1e-6)
    # what spectra do not know is taken from the images, what they know stays
    assert (galaxies.flux_r == 10).all() and (galaxies.mag_r == 20).all() and np.allclose(galaxies.ebv, 0.1)
    assert (galaxies.z == 0.3).all() and galaxies.image_row.tolist() == [0, 1, 2]
    config = {**BOTH, "crossmatch": {"radius_arcsec": 4.0, "one_to_one": False, "require": []}}
    galaxies, flow = catalogued(tmp_path, config, **files)
    assert len(galaxies) == 6 and galaxies.image_row.tolist() == [0, 1, 2, 0, 1, -1] and galaxies.image_file[5] == ""
    assert flow[1:] == [["with image", "image within 4 arcsec", 5, 1]]
    assert galaxies.z.tolist()[:5] == [0.3] * 5 and np.isnan(galaxies.z[5])
    rows = tokens_of_images(tmp_path, [north, south])
    assert (
        sorted(rows) == [100, 101, 102, 103, 104] and np.array_equal(rows[103], IMAGES[0]) and not tokens_lost(tmp_path)
    )


def tokens_of_images(folder, paths):
    tokenize_images(folder / "galaxies.parquet", paths, 0, folder / "shard.h5", folder / "lost.csv", crop=152)
    with h5py.File(folder / "shard.h5") as file:
        return dict(zip(file["targetid"][:].tolist(), file["flux"][:], strict=True))


def tokens_lost(folder):
    return pandas.read_csv(folder / "lost.csv").values.tolist()


def test_images_are_joined_by_identifier_and_bring_positions(tmp_path):
    number = (9010 << 42) + (np.arange(6) << 22) + np.arange(6)  # as DESI's TARGETID
    spectra = write(tmp_path / "a.h5", targetid=number + [0, 0, 0, 0, 0, 77])
    images = stein(tmp_path / "i.h5", **SKY)
    files = {"parts": part_of(tmp_path, spectra), "image": [images]}
    galaxies, flow = catalogued(tmp_path, {**BOTH, "crossmatch": {"by": "identifier"}}, **files)
    assert flow[-1] == ["image", "image of the same identifier", 5, 1]
    assert galaxies.ra.tolist() == SKY["ra"][:5].tolist() and (galaxies.healpix >= 0).all()
    assert galaxies.separation_arcsec.isna().all()  # nothing to compare with
    with pytest.raises(BadInput, match=r"mine: crossmatch.by: position needs positions, and no galaxy has one"):
        catalogued(tmp_path, BOTH, **files)


def test_a_file_of_both_gives_each_galaxy_the_image_of_its_row(tmp_path):
    spectra = np.random.default_rng(1).normal(5, 1, (6, 7781)).astype("f4")
    spectra[1] = 0
    both = made_images.astroclip_hdf5(tmp_path / "both.h5", IMAGES, groups=2, spectra=spectra)
    alone = write(tmp_path / "alone.h5", targetid=np.arange(6))
    parts = [tmp_path / "spectra-0000.h5"]
    convert({"both.h5": both, "alone.h5": alone}, "auto", None, GRID, 0.1, parts[0])
    galaxies, flow = catalogued(tmp_path, BOTH, parts=parts)
    assert flow[-1] == ["image", "image in the same file", 5, 6] and set(galaxies.image_file) == {"both.h5"}
    assert galaxies.image_row.tolist() == galaxies.spectrum_row.tolist() == [0, 2, 3, 4, 5]
    assert galaxies.published_split.tolist() == ["train", "test", "train", "train", "test"]
    rows = tokens_of_images(tmp_path, [both])
    assert all(np.array_equal(rows[t], IMAGES[r]) for t, r in zip(galaxies.targetid, galaxies.image_row, strict=True))
    split = {"kind": "published", "fractions": {"train": 1.0, "validation": 0.0, "test": 0.0}}
    out = (tmp_path / "splits.parquet", tmp_path / "shared.json")
    write_splits(tmp_path / "galaxies.parquet", {"seed": 1, "split": split}, *out)
    assert pandas.read_parquet(out[0]).split.tolist() == galaxies.published_split.tolist()
    config = {**BOTH, "crossmatch": {"require": []}}
    assert len(catalogued(tmp_path, config, parts=parts)[0]) == 11
    for key, value in (("kind", "healpix"), ("separation_arcsec", "crop")):
        config = {"seed": 1, "modalities": ["image"], "split": {**split, "kind": "random", key: value}}
        with pytest.raises(BadInput, match=f"split.{key}: {value} needs positions, and no galaxy has one"):
            write_splits(tmp_path / "galaxies.parquet", config, *out)
    with pytest.raises(BadInput, match="split.kind: published, but of 6 of 11 galaxies no file says the split"):
        write_splits(tmp_path / "galaxies.parquet", {"seed": 1, "split": split}, *out)
    with pytest.raises(BadInput, match="mine: no galaxy left: 'HSC image in the same file' lost the last 11 of 12"):
        catalogued(tmp_path, {"shards": 1, "modalities": ["hsc_image"]}, parts=parts)


def test_images_alone_are_a_survey_with_cuts_and_shards_of_rows(tmp_path):
    north, south = (
        stein(tmp_path / s / "i.h5", SKY["ra"], SKY["dec"] + d, r) for s, d, r in (("n", 1, 9011), ("s", 0, 9010))
    )
    with h5py.File(north, "a") as file:
        file["flux"][4:] = 1.0
        file["images"][1, 2] = np.nan
    cut = [{"name": "bright", "column": "mag_r", "at_most": 20.5}]
    config = {"own": "image", "modalities": ["image"], "shards": 3, "cuts": cut}
    galaxies, flow = catalogued(tmp_path, config, image=[south, north])
    assert flow == [["image", "rows read", 12, 0], ["quality", "bright", 10, 2]]
    assert set(galaxies.image_file) == {"n/i.h5", "s/i.h5"} and set(galaxies.spectrum_file) == {""}
    assert (galaxies.spectrum_row == -1).all() and np.allclose(galaxies.z, 0.7) and galaxies.spectype.eq("").all()
    key = (9010 << 42) + (np.arange(1, 6) << 22) + np.arange(1, 6)  # the first has brick 0 and object 0, which is a key
    assert set(key) < set(galaxies.targetid)
    # two files, three shards: north's rows are dealt to two of them
    assert galaxies.groupby("image_file").shard.unique().map(sorted).tolist() == [[0, 2], [1]]
    rows = {}
    for shard, paths in enumerate(([north], [south], [north])):
        tokenize_images(
            tmp_path / "galaxies.parquet", paths, shard, tmp_path / "shard.h5", tmp_path / "lost.csv", crop=152
        )
        with h5py.File(tmp_path / "shard.h5") as file:
            rows |= dict.fromkeys(file["targetid"][:].tolist(), shard)
        if shard == 0:
            assert [line[1:] for line in tokens_lost(tmp_path)] == [["i.h5", 1, "band z is NaN everywhere"]]
    assert len(rows) == 9 and rows == {
        t: s for t, s in zip(galaxies.targetid, galaxies.shard, strict=True) if t in rows
    }
    with pytest.raises(BadInput, match="no column MAG_R, which the cut 'bright' needs"):
        catalogued(tmp_path, {**config, "cuts": [{**cut[0], "column": "MAG_R"}]}, image=[south])
    with pytest.raises(BadInput, match="mine: no galaxy left: 'log_mstar, z_mw, t_age known' lost the last 6 of 6"):
        catalogued(tmp_path, {**config, "cuts": None, "require_properties": True}, image=[south])


def test_hsc_images_alone_have_redshifts_and_magnitudes_and_other_images_join_them(tmp_path):
    images = np.ones((6, 5, 64, 64), "f4") * np.arange(1, 7, dtype="f4")[:, None, None, None]
    path = tmp_path / "5x64x64_training_with_morphology.hdf5"
    ids = {
        "object_id": np.arange(6) + 5,
        "r_cmodel_mag": np.full(6, 20.0),
        "specz_redshift": np.array([0.1] * 5 + [-9]),
    }
    galaxiesml.write_galaxiesml(path, images, {**ids, **SKY})
    cutouts = stein(tmp_path / "i.h5", SKY["ra"][:2], SKY["dec"][:2])
    config = {"own": "hsc_image", "modalities": ["hsc_image", "image"], "crossmatch": {"require": ["hsc_image"]}}
    galaxies, flow = catalogued(tmp_path, config, hsc_image=[path], image=[cutouts])
    assert flow[0] == ["hsc_image", "rows read", 6, 0] and flow[1] == ["with image", "image within 1 arcsec", 2, 4]
    assert galaxies.targetid.tolist() == list(range(5, 11)) and galaxies.hsc_row.tolist() == list(range(6))
    assert galaxies.image_row.tolist() == [0, 1, -1, -1, -1, -1] and (galaxies.mag_r == 20).all()
    assert galaxies.z.isna().tolist() == [False] * 5 + [True] and set(galaxies.published_split) == {"train"}
    tokenize_hsc_images(tmp_path / "galaxies.parquet", [path], 0, tmp_path / "s.h5", tmp_path / "l.csv", hsc_size=32)
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["flux"].shape == (6, 5, 32, 32) and file.attrs["size"] == 32
        expected = (np.arange(6) + 1) / np.float32(galaxiesml.COUNTS_PER_NANOMAGGY)
        np.testing.assert_allclose(file["flux"][:, 2, 5, 5], expected, rtol=1e-6)
    with pytest.raises(BadConfig, match="hsc_size: 80 pixels is more than the 64 x 64 of the cutouts"):
        tokenize_hsc_images(
            tmp_path / "galaxies.parquet", [path], 0, tmp_path / "s.h5", tmp_path / "l.csv", hsc_size=80
        )
