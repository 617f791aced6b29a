"""The shard store: what is written comes back, and damage is found and named."""

import multiprocessing
import os
import pickle
import subprocess

import h5py
import numpy as np
import pytest

from skyloom.core.errors import BadConfig, BadInput, SkyloomError
from skyloom.tokens import store
from skyloom.tokens.store import COMPRESSIONS, Shards, shard_writer, verify, write_shard


def make(path, n=20, width=50, seed=0, first=0, **options):
    rng = np.random.default_rng(seed)
    arrays = {"flux": rng.normal(size=(n, width)).astype("f4"), "ivar": rng.random((n, width)).astype("f4")}
    write_shard(path, first + np.arange(n), arrays, {"modality": "spectrum"}, {"flux": "nanomaggy"}, **options)
    return arrays


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_samples_of_several_shards_come_back_in_the_order_asked_for(tmp_path, compression):
    paths = [tmp_path / f"{i}.h5" for i in range(3)]
    parts = [make(path, 10 + i, seed=i, first=100 * i, compression=compression) for i, path in enumerate(paths)]
    flux = np.concatenate([part["flux"] for part in parts])
    shards = Shards(paths)
    indices = np.random.default_rng(1).integers(0, len(shards), 80)  # with repeats
    batch = shards.read(indices, ["flux"])
    assert len(shards) == 33 and set(batch) == {"flux", "targetid"}
    np.testing.assert_array_equal(batch["flux"], flux[indices])
    np.testing.assert_array_equal(batch["targetid"], shards.targetid[indices])
    assert shards.targetid[10] == 100 and shards.targetid[32] == 211


def test_one_sample_is_one_chunk_and_units_are_kept(tmp_path):
    make(tmp_path / "a.h5", width=50)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["flux"].chunks == (1, 50)
        assert file["flux"].attrs["unit"] == b"nanomaggy"
        assert file.attrs["skyloom_format"] == 1


def test_compressed_shards_are_smaller_and_have_the_same_content(tmp_path):
    smooth = {"flux": np.repeat(np.arange(40, dtype="f4")[:, None], 4000, axis=1)}
    for compression in COMPRESSIONS:
        write_shard(tmp_path / f"{compression}.h5", np.arange(40), smooth, compression=compression)
    plain, packed = (tmp_path / f"{compression}.h5" for compression in COMPRESSIONS)
    assert packed.stat().st_size < plain.stat().st_size / 5
    assert verify(packed) == verify(plain)


def test_appending_in_blocks_gives_the_same_bytes_of_content_and_writing_twice_the_same_file(tmp_path):
    arrays = make(tmp_path / "whole.h5")
    make(tmp_path / "again.h5")
    with shard_writer(tmp_path / "blocks.h5") as writer:
        writer.declare(flux=(50,), ivar=(50,))
        for rows in np.array_split(np.arange(20), [1, 7, 7]):
            writer.append(rows, **{name: values[rows] for name, values in arrays.items()})
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    assert verify(tmp_path / "blocks.h5") == verify(tmp_path / "whole.h5")


def test_a_shard_without_samples_has_its_datasets(tmp_path):
    with shard_writer(tmp_path / "empty.h5") as writer:
        writer.declare(flux=(50,), ivar=(50,))
    make(tmp_path / "full.h5", 4)
    shards = Shards([tmp_path / "empty.h5", tmp_path / "full.h5"])
    assert len(shards) == 4
    assert Shards([tmp_path / "empty.h5"]).read(np.zeros(0, "i8"))["flux"].shape == (0, 50)
    assert verify(tmp_path / "empty.h5") != verify(tmp_path / "full.h5")


def test_rows_finds_identifiers_and_says_minus_one_for_the_others(tmp_path):
    write_shard(tmp_path / "a.h5", np.array([7, 3, 9]), {"flux": np.zeros((3, 2))})
    np.testing.assert_array_equal(
        Shards([tmp_path / "a.h5"]).rows(np.array([9, 4, 7, 3, 99, -1])), [2, -1, 0, 1, -1, -1]
    )


def test_blocks_that_do_not_fit_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="5 rows"):
        write_shard(tmp_path / "a.h5", np.arange(5), {"flux": np.zeros((4, 3))})
    assert list(tmp_path.iterdir()) == []


def test_unknown_compression_is_refused(tmp_path):
    with pytest.raises(BadConfig, match="'gzip' is not one of none, bitshuffle-lz4"):
        make(tmp_path / "a.h5", compression="gzip")


def open_files(folder):
    """Names of the files of a folder that this process has open."""
    links = [os.path.realpath(link) for link in os.scandir("/proc/self/fd")]
    return {os.path.basename(path) for path in links if os.path.dirname(path) == str(folder)}


def test_few_of_many_shards_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "OPEN", 3)
    paths = [tmp_path / f"{i}.h5" for i in range(8)]
    flux = np.concatenate([make(path, 2, seed=i, first=10 * i)["flux"] for i, path in enumerate(paths)])
    shards = Shards(paths)
    assert open_files(tmp_path) == set()
    for indices in (np.arange(16), np.array([15, 0, 9, 1]), np.arange(16)[::-1]):
        np.testing.assert_array_equal(shards.read(indices, ["flux"])["flux"], flux[indices])
        assert len(open_files(tmp_path)) <= 3
    shards.read(np.array([0, 2, 4]))
    shards.read(np.array([0]))
    shards.read(np.array([6]))
    assert open_files(tmp_path) == {"0.h5", "2.h5", "3.h5"}  # the one that was not used for longest is closed
    shards.close()
    assert open_files(tmp_path) == set()


def read_in_child(shards, indices, queue):
    queue.put(shards.read(indices, ["flux"])["flux"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_reader_in_use_works_in_another_process(tmp_path, method):
    arrays = make(tmp_path / "a.h5")
    shards = Shards([tmp_path / "a.h5"])
    indices = np.array([5, 1, 17])
    shards.read(indices)  # the file is open here now
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(shards, indices, queue))
    child.start()
    np.testing.assert_array_equal(queue.get(timeout=1800), arrays["flux"][indices])
    child.join()
    np.testing.assert_array_equal(shards.read(indices)["flux"], arrays["flux"][indices])
    assert pickle.loads(pickle.dumps(shards)).content_sha256 == shards.content_sha256


@pytest.mark.parametrize("keep", [0, 100, 0.3, 0.9, -1])
def test_a_truncated_shard_is_named_with_what_to_do(tmp_path, keep):
    path = tmp_path / "a.h5"
    make(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else keep])
    with pytest.raises(BadInput) as error:
        Shards([path])
    assert one_line(error).startswith(f"{path}: the shard is damaged") and "delete it and rerun" in one_line(error)


def test_a_flipped_byte_of_data_is_found_when_read_and_when_verified(tmp_path):
    path = tmp_path / "a.h5"
    make(path)
    with h5py.File(path) as file:
        offset = file["ivar"].id.get_chunk_info(13).byte_offset
    flip(path, offset + 17)
    with pytest.raises(BadInput, match="dataset ivar cannot be read"):
        verify(path)
    shards = Shards([path])
    assert np.isfinite(shards.read(np.array([12]))["ivar"]).all()
    with pytest.raises(BadInput, match="dataset ivar cannot be read"):
        shards.read(np.array([12, 13]))


def test_other_samples_under_the_same_checksum_fail_verification(tmp_path):
    path = tmp_path / "a.h5"
    make(path)
    with h5py.File(path, "a") as file:
        file["ivar"][13] = file["ivar"][12]
    with pytest.raises(BadInput, match="bytes of dataset ivar do not match"):
        verify(path)


def test_a_flipped_byte_in_a_compressed_chunk_is_found_when_read(tmp_path):
    path = tmp_path / "a.h5"
    write_shard(
        path, np.arange(3), {"flux": np.tile(np.arange(9000, dtype="f4"), (3, 1))}, compression="bitshuffle-lz4"
    )
    with h5py.File(path) as file:
        offset = file["flux"].id.get_chunk_info(1).byte_offset
    for byte in range(12):  # the header of the compressed block
        flip(path, offset + byte)
    with pytest.raises(BadInput) as error:
        Shards([path]).read(np.array([1]))
    assert "dataset flux cannot be read" in one_line(error)


def test_flipped_bytes_anywhere_are_found_or_harmless(tmp_path):
    path = tmp_path / "a.h5"
    make(path, n=6, width=4)
    good, digest = path.read_bytes(), verify(path)
    found = 0
    for offset in np.random.default_rng(0).integers(0, len(good), 150):
        path.write_bytes(good)
        flip(path, int(offset))
        try:
            assert verify(path) == digest  # padding that HDF5 does not use
        except BadInput as error:
            found += 1
            assert "\n" not in str(error) and str(path) in str(error)
    assert found > 5


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["missing", "short", "reshaped", "no targetid", "not a shard"])
def test_wrong_datasets_are_refused(tmp_path, damage):
    path = tmp_path / "a.h5"
    make(path)
    with h5py.File(path, "a") as file:
        if damage == "missing":
            del file["ivar"]
        elif damage == "short":
            file["ivar"].resize(19, axis=0)
        elif damage == "reshaped":
            attrs = dict(file["ivar"].attrs)
            del file["ivar"]
            file["ivar"] = np.zeros((20, 49), "f4")
            file["ivar"].attrs.update(attrs)
        elif damage == "no targetid":
            del file["targetid"]
        else:
            del file.attrs["skyloom_format"]
    with pytest.raises(BadInput) as error:
        Shards([path])
    assert one_line(error).startswith(f"{path}: ")
    with pytest.raises(BadInput):
        verify(path)


def test_shards_that_differ_in_shape_do_not_mix(tmp_path):
    make(tmp_path / "a.h5", width=50)
    make(tmp_path / "b.h5", width=40)
    with pytest.raises(BadInput, match=r"b.h5: datasets .*\(40,\).*expected .*\(50,\)"):
        Shards([tmp_path / "a.h5", tmp_path / "b.h5"])


def test_an_unknown_dataset_and_an_absent_file_are_named(tmp_path):
    make(tmp_path / "a.h5")
    with pytest.raises(BadInput, match="no dataset rgb; the shard holds flux, ivar"):
        Shards([tmp_path / "a.h5"]).read(np.array([0]), ["rgb"])
    with pytest.raises(BadInput, match="absent.h5: no such shard"):
        Shards([tmp_path / "absent.h5"])


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if os.getuid() != 0 or mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_gives_one_line_and_leaves_nothing(small_disk):
    with pytest.raises(SkyloomError) as error:
        make(small_disk / "a.h5", n=400, width=2000)
    assert "the disk is full" in one_line(error)
    assert list(small_disk.iterdir()) == []
    make(small_disk / "a.h5", n=10, width=2000)  # and the process is still of use
    verify(small_disk / "a.h5")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_disk_that_fills_up_at_the_last_byte_never_yields_a_broken_shard(small_disk, compression):
    outcomes = set()
    path = small_disk / "a.h5"
    for n in range(160, 260, 3):  # 16 kB a sample on 3 MB
        try:
            make(path, n=n, width=2000, compression=compression)
            verify(path)
            path.unlink()
            outcomes.add("whole")
        except SkyloomError as error:
            assert "the disk is full" in str(error)
            outcomes.add("none")
        assert list(small_disk.iterdir()) == []
    assert outcomes == {"whole", "none"}
