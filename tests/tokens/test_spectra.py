"""Spectra: shards from coadds, and the SpecFormer tokens against a plain loop written from the description."""

import csv
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.desi import WAVELENGTH, combine_arms, read_coadd
from skyloom.nn.spectra import normalise, slice_count, specformer_tokens, token_shrinkage, token_weights, untokenize
from skyloom.tokens.spectra import tokenize_spectra
from skyloom.tokens.store import Shards, ShardWriter, verify


def tokenize(survey, shard=0, **options):
    out, quarantine = survey.folder / f"{shard}.h5", survey.folder / f"{shard}.csv"
    tokenize_spectra(survey.galaxies, survey.coadds, shard, out, quarantine, **options)
    with open(quarantine, newline="") as file:
        return Shards([out]), list(csv.DictReader(file))


def test_a_shard_holds_its_galaxies_on_the_common_grid(survey):
    shards, broken = tokenize(survey, shard=1)
    np.testing.assert_array_equal(shards.targetid, 2000 + np.arange(6))
    assert shards.shapes == {"flux": (7781,), "ivar": (7781,)} and broken == []
    assert shards.attrs["modality"] == "spectrum"
    flux, ivar = combine_arms(survey.spectra[1])
    batch = shards.read(np.arange(6))
    np.testing.assert_array_equal(batch["flux"], flux)
    np.testing.assert_array_equal(batch["ivar"], ivar)
    overlap = np.searchsorted(WAVELENGTH, [5770, 5790])  # b and r both, ivar 4 each
    np.testing.assert_array_equal(batch["ivar"][:, overlap[0] : overlap[1]], 8)


def test_the_same_input_gives_the_same_bytes(survey):
    tokenize(survey)
    first = (survey.folder / "0.h5").read_bytes()
    tokenize(survey)
    assert (survey.folder / "0.h5").read_bytes() == first


def test_compression_changes_the_file_and_not_the_content(survey):
    tokenize(survey)
    digest = verify(survey.folder / "0.h5")
    tokenize(survey, compression="bitshuffle-lz4")
    assert verify(survey.folder / "0.h5") == digest


def test_broken_spectra_are_quarantined_with_the_reason_and_the_others_kept(survey, caplog):
    coadd = survey.spectra[0]
    for arm in coadd.flux:
        coadd.flux[arm][0] = np.nan
        coadd.ivar[arm][1] = 0
        coadd.flux[arm][3] = 0
    coadd.mask["b"][2] = 1
    coadd.ivar["r"][2] = 0
    survey.rewrite()
    with caplog.at_level("INFO"):
        shards, broken = tokenize(survey)
    assert [(row["targetid"], row["file"], row["row"], row["reason"]) for row in broken] == [
        ("1000", "coadd-0.fits", "0", "flux is NaN everywhere"),
        ("1001", "coadd-0.fits", "1", "ivar is zero everywhere"),
        ("1002", "coadd-0.fits", "2", "fewer than 0.5 of the pixels are good"),
        ("1003", "coadd-0.fits", "3", "flux is zero everywhere"),
    ]
    np.testing.assert_array_equal(shards.targetid, [1004, 1005])
    assert "quarantined 1: ivar is zero everywhere" in caplog.text
    assert "2 spectra, 4 quarantined" in caplog.text


def test_the_fraction_of_good_pixels_is_a_setting(survey):
    survey.spectra[0].ivar["z"][2] = 0  # leaves 7781 - (2881 - overlap) pixels
    survey.rewrite()
    good = (combine_arms(survey.spectra[0])[1][2] > 0).mean()
    assert len(tokenize(survey, minimum_good=good - 1e-6)[0]) == 6
    assert len(tokenize(survey, minimum_good=good + 1e-6)[0]) == 5
    with pytest.raises(BadConfig, match="minimum_good: 1.5 is not a fraction"):
        tokenize(survey, minimum_good=1.5)


def test_pixels_that_are_not_finite_become_masked(survey):
    survey.spectra[0].flux["b"][2, 10] = np.nan
    survey.spectra[0].ivar["b"][2, 11] = np.inf
    survey.spectra[0].ivar["b"][2, 12] = -1
    survey.rewrite()
    batch = tokenize(survey)[0].read(np.array([2]))
    assert not batch["flux"][0, 10:13].any() and not batch["ivar"][0, 10:13].any()
    assert (batch["ivar"][0, 13:] > 0).all()


def test_spectra_without_a_whole_arm_are_counted(survey, caplog):
    survey.spectra[0].flux["b"][[1, 3]] = np.nan
    survey.spectra[0].ivar["z"][2] = 0
    survey.spectra[0].flux["b"][4] = survey.spectra[0].flux["z"][4] = np.nan  # too little is left of it
    survey.rewrite()
    shards, broken = tokenize(survey)
    assert len(shards) == 5 and len(broken) == 1
    assert "coadd-0.fits: arm b has no good pixel in 2 spectra that are kept without it" in caplog.text
    assert "coadd-0.fits: arm z has no good pixel in 1 spectra that are kept without it" in caplog.text
    assert "arm r" not in caplog.text


def test_files_of_one_name_are_told_apart_by_their_folder(survey):
    survey.spectra[1].flux["b"][:] += 100
    survey.rewrite()
    places = [survey.folder / side / "coadd.fits" for side in ("north", "south")]
    for old, new in zip(survey.coadds, places, strict=True):
        new.parent.mkdir()
        old.rename(new)
    names = ["north/coadd.fits", "south/coadd.fits"]
    survey.catalogue([1000, 2003], names, [0, 3], ["", ""], [-1, -1], [0, 0])
    tokenize_spectra(survey.galaxies, places, 0, survey.folder / "0.h5", survey.folder / "0.csv")
    flux = Shards([survey.folder / "0.h5"]).read(np.array([0, 1]))["flux"]
    assert flux[1, :2000].mean() - flux[0, :2000].mean() > 50


def test_a_shard_without_galaxies_is_an_empty_shard(survey):
    shards, broken = tokenize(survey, shard=7)
    assert len(shards) == 0 and broken == [] and shards.shapes["flux"] == (7781,)


def test_coadds_that_do_not_belong_to_the_catalogue_are_refused_and_leave_no_shard(survey):
    survey.spectra[0].fibermap["TARGETID"][4] = 77
    survey.rewrite()
    with pytest.raises(BadInput, match="coadd-0.fits: FIBERMAP row 4 has TARGETID 77, but .* expects 1004"):
        tokenize(survey)
    assert not (survey.folder / "0.h5").exists() and not (survey.folder / "0.csv").exists()


def test_a_coadd_that_is_not_given_or_is_truncated_is_named(survey):
    with pytest.raises(BadInput, match="coadd-1.fits: named in galaxies.parquet but not among"):
        tokenize_spectra(survey.galaxies, survey.coadds[:1], 1, survey.folder / "o.h5", survey.folder / "q.csv")
    data = survey.coadds[1].read_bytes()
    survey.coadds[1].write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="coadd-1.fits") as error:
        tokenize(survey, shard=1)
    assert "\n" not in str(error.value)
    assert not (survey.folder / "1.h5").exists()


def test_two_files_of_one_name_and_a_broken_catalogue_are_refused(survey):
    other = survey.folder / "elsewhere" / "coadd-0.fits"
    with pytest.raises(BadInput, match="coadd-0.fits: named in galaxies.parquet but .* among them twice"):
        tokenize_spectra(survey.galaxies, [*survey.coadds, other], 0, survey.folder / "o.h5", survey.folder / "q.csv")
    survey.galaxies.write_bytes(b"not parquet")
    with pytest.raises(BadInput, match="galaxies.parquet: cannot be read as Parquet") as error:
        tokenize(survey)
    assert "\n" not in str(error.value)


def test_galaxies_without_a_spectrum_are_counted_and_not_quarantined(survey, caplog):
    survey.catalogue([1000, 1], ["coadd-0.fits", ""], [0, -1], ["", ""], [-1, -1], [0, 0])
    with caplog.at_level("INFO"):
        shards, broken = tokenize(survey)
    assert len(shards) == 1 and broken == []
    assert "1 of 2 galaxies have no spectrum" in caplog.text


def tokenize_and_die(survey):
    """Append the first block, then be killed as by `kill -9`."""
    append = ShardWriter.append

    def append_and_die(self, *block, **arrays):
        append(self, *block, **arrays)
        os.kill(os.getpid(), signal.SIGKILL)

    ShardWriter.append = append_and_die
    tokenize(survey)


def test_a_job_killed_half_way_leaves_no_shard_and_a_rerun_gives_the_same_bytes(survey):
    tokenize(survey)
    shard, quarantine = survey.folder / "0.h5", survey.folder / "0.csv"
    undisturbed = shard.read_bytes(), quarantine.read_bytes()
    shard.unlink()
    quarantine.unlink()
    child = multiprocessing.get_context("fork").Process(target=tokenize_and_die, args=(survey,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert not shard.exists() and not quarantine.exists()
    tokenize(survey)
    assert (shard.read_bytes(), quarantine.read_bytes()) == undisturbed


def test_every_row_of_real_coadds_is_tokenized_or_quarantined(survey, real_spectra):
    paths = [path for name, path in real_spectra.items() if name.startswith("coadd")]
    rows = [(int(t), path.name, i) for path in paths for i, t in enumerate(read_coadd(path).fibermap["TARGETID"])]
    targetid, name, row = zip(*rows, strict=True)
    n = len(rows)
    survey.catalogue(targetid, name, row, [""] * n, [-1] * n, [0] * n)
    survey.coadds = paths
    shards, broken = tokenize(survey)
    assert sorted([*shards.targetid.tolist(), *(int(entry["targetid"]) for entry in broken)]) == sorted(targetid)
    assert len(shards) >= 2
    batch = shards.read(np.arange(len(shards)))
    tokens = specformer_tokens(torch.from_numpy(batch["flux"]), torch.from_numpy(batch["ivar"]))
    assert tokens.shape == (len(shards), 778, 22) and torch.isfinite(tokens).all()
    # z-scored noise and lines, not a few huge pixels that escaped the mask
    assert tokens[:, 1:, 2:].abs().amax() < 1000


def spectra(batch=3, width=7781, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(4, 3, (batch, width)))


@pytest.mark.parametrize(
    ("width", "size", "stride", "slices", "tail"),
    [(7781, 20, 10, 777, 778), (7780, 20, 10, 777, 777), (7514, 20, 10, 750, 751), (7781, 40, 40, 194, 195)],
)
def test_number_of_slices(width, size, stride, slices, tail):
    assert slice_count(width, size, stride) == slices
    assert slice_count(width, size, stride, tail=True) == tail
    assert slices == sum(start + size <= width for start in range(0, width, stride))  # count them one by one


def test_tokens_are_as_published():
    """The published recipe as a plain loop; 7781 pixels give its 778 tokens of width 22."""
    flux = spectra()
    tokens = specformer_tokens(flux)
    assert tokens.shape == (3, 778, 22)
    for spectrum, got in zip(flux.numpy(), tokens.numpy(), strict=True):
        mean, std = spectrum.mean(), max(spectrum.std(ddof=1), 0.2)
        expected = [[(mean - 2) / 2, (std - 2) / 8] + 20 * [0]]
        for start in range(0, 7781 - 19, 10):
            expected.append([0, 0, *(spectrum[start : start + 20] - mean) / std])
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_the_last_full_slice_is_kept():
    flux = spectra(width=7780)
    tokens = specformer_tokens(flux)
    scaled = normalise(flux)[0]
    assert tokens.shape[1] == 778
    torch.testing.assert_close(tokens[:, -1, 2:], scaled[:, 7760:7780])


@pytest.mark.parametrize(("size", "stride"), [(20, 10), (40, 40), (30, 7), (25, 25)])
@pytest.mark.parametrize("tail", [False, True])
def test_every_pixel_in_a_slice_is_recoverable(size, stride, tail):
    flux = spectra(width=1003)
    recovered, covered = untokenize(specformer_tokens(flux, size=size, stride=stride, tail=tail), 1003, stride)
    last = (slice_count(1003, size, stride) - 1) * stride + size
    assert covered.sum() == (1003 if tail else last)
    torch.testing.assert_close(recovered[:, covered], flux[:, covered])
    assert not recovered[:, ~covered].any()


def test_the_tail_is_padded_with_zeros():
    tokens = specformer_tokens(spectra(), size=40, stride=40, tail=True)
    assert tokens.shape == (3, 196, 42)
    assert tokens[:, -1, 2 : 2 + 21].all() and not tokens[:, -1, 2 + 21 :].any()


@pytest.mark.parametrize(("size", "stride"), [(20, 0), (20, 21), (0, 0), (8000, 10)])
def test_impossible_slices_are_refused(size, stride):
    with pytest.raises(BadConfig, match=f"size {size}, stride {stride}"):
        specformer_tokens(spectra(), size=size, stride=stride)


def test_good_pixels_alone_make_mean_and_std():
    flux, ivar = spectra(), torch.ones(3, 7781, dtype=torch.float64)
    bad = torch.from_numpy(np.random.default_rng(1).random((3, 7781)) < 0.3)
    ivar[bad] = 0
    spoiled = torch.where(bad, torch.nan, flux)
    scaled, mean, std = normalise(spoiled, ivar)
    for i in range(3):
        good = flux[i][~bad[i]].numpy()
        assert mean[i].item() == pytest.approx(good.mean(), rel=1e-12)
        assert std[i].item() == pytest.approx(good.std(ddof=1), rel=1e-12)
    assert torch.isfinite(scaled).all()
    torch.testing.assert_close(scaled[~bad], ((flux - mean) / std)[~bad])


def test_masked_pixels_are_interpolated_inside_and_the_mean_outside():
    flux, ivar = spectra(batch=4, width=60), torch.ones(4, 60, dtype=torch.float64)
    ivar[0, 20:33] = 0
    ivar[1, :5] = 0
    ivar[1, 55:] = 0
    ivar[2] = 0
    scaled, mean, std = normalise(flux, ivar)
    pixel, good = np.arange(60), ivar.numpy() > 0
    expected = np.interp(pixel, pixel[good[0]], scaled[0, good[0]].numpy())
    np.testing.assert_allclose(scaled[0].numpy(), expected, rtol=1e-12)
    assert not scaled[1, :5].any() and not scaled[1, 55:].any() and scaled[1, 5:55].all()
    assert not scaled[2].any() and mean[2] == 0 and std[2] == 0.2
    torch.testing.assert_close(scaled[3], normalise(flux[3:])[0][0])


def test_the_standard_deviation_has_a_floor():
    flux = torch.full((2, 100), 5.0)
    flux[1, ::2] += 0.1
    scaled, _, std = normalise(flux)
    assert (std == 0.2).all() and not scaled[0].any()
    assert normalise(flux, std_floor=0.01)[2][1].item() == pytest.approx(0.05, rel=0.02)


def test_a_spectrum_does_not_depend_on_its_batch():
    flux, ivar = spectra(5), torch.rand(5, 7781, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.1
    tokens = specformer_tokens(flux, ivar.clamp(min=0))
    for i in range(5):
        torch.testing.assert_close(specformer_tokens(flux[i : i + 1], ivar[i : i + 1].clamp(min=0)), tokens[i : i + 1])


def test_weights_have_mean_one_over_good_pixels_and_follow_ivar_up_to_the_cap():
    rng = np.random.default_rng(2)
    ivar = torch.from_numpy(rng.uniform(1, 3, (2, 400)))
    ivar[0] *= 1000  # a bright and a faint spectrum count the same
    ivar[1, 50:80] = 0
    weights = token_weights(ivar, 20, 20)
    assert weights.shape == (2, 20, 20)
    flat = weights.flatten(1)
    torch.testing.assert_close(flat[0], ivar[0] / ivar[0].mean())
    torch.testing.assert_close(flat[1].sum(), torch.tensor(370.0, dtype=torch.float64))
    assert not flat[1, 50:80].any()


def test_a_few_quiet_pixels_do_not_own_the_weights():
    ivar = torch.ones(1, 1000, dtype=torch.float64)
    ivar[0, 500] = 1e9
    weights = token_weights(ivar, 20, 20, cap=4).flatten()
    assert weights[500] / weights[0] == pytest.approx(4)
    assert weights.mean() == pytest.approx(1)


def test_weights_of_a_spectrum_without_a_good_pixel_are_zero():
    assert not token_weights(torch.zeros(1, 100), 20, 10).any()


def test_weighted_normalisation_is_the_plain_one_for_equal_noise():
    flux = torch.randn(3, 200, generator=torch.Generator().manual_seed(5)) * 2 + 1
    for plain, weighted in zip(
        normalise(flux, torch.full_like(flux, 4.0)),
        normalise(flux, torch.full_like(flux, 4.0), weighted=True),
        strict=True,
    ):
        torch.testing.assert_close(plain, weighted)


def test_weighted_normalisation_takes_its_scale_from_the_quiet_pixels():
    generator = torch.Generator().manual_seed(6)
    signal = torch.sin(torch.linspace(0, 40, 400))[None] + 3
    noise = torch.where(torch.arange(400) < 100, 50.0, 0.1)
    flux = signal + noise * torch.randn(1, 400, generator=generator)
    _, mean, std = normalise(flux, noise.pow(-2)[None], weighted=True)
    assert float(mean) == pytest.approx(float(signal[:, 100:].mean()), abs=0.02)
    assert float(std) == pytest.approx(float(signal[:, 100:].std()), rel=0.05)


def test_shrinkage_is_a_half_at_median_noise_and_zero_without_information():
    ivar = torch.tensor([[0.0, 1.0, 4.0, 4.0, 4.0, 12.0]])
    torch.testing.assert_close(token_shrinkage(ivar, 3, 3).flatten(), torch.tensor([0.0, 0.2, 0.5, 0.5, 0.5, 0.75]))
