"""The redshift network: a redshift is a shift, the fit is a least-squares fit, posteriors mean what they say."""

import copy

import numpy as np
import pytest
import torch
import yaml

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.redshift import CLASSES, FLAGS, Config, refine, templates
from skyloom.models.redshift import posterior as peaks
from skyloom.models.redshift.augment import augment
from skyloom.models.redshift.objective import Objective, best_temperature
from skyloom.nn.draws import Draws
from skyloom.nn.log_grid import LogGrid
from skyloom.settings.config import load
from tests.paths import ROOT

from . import toy_spectra as toy


@pytest.fixture(scope="module")
def trained():
    """A network trained for a minute of steps on toy spectra, its templates fitted."""
    made = toy.spectra(900, seed=1)
    objective = Objective(toy.network())
    objective.train()
    optimiser = torch.optim.AdamW(objective.parameters(), lr=4e-3, weight_decay=0.01)
    rng = np.random.default_rng(0)
    for step in range(160):
        loss, _ = objective(toy.batch(made, rng.choice(900, 32, False)), Draws(0, step, 32), step / 160)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    objective.eval()
    held = toy.spectra(300, seed=2)
    rows = objective.finish([toy.batch(made)], [toy.batch(held)])
    assert rows[0]["temperature"] > 0
    return objective.model.eval()


@pytest.fixture(scope="module")
def tested(trained):
    made = toy.spectra(400, seed=3)
    with torch.inference_mode():
        said = trained.predict(toy.batch(made), "redshift")
    return made, {name: values.numpy() for name, values in said.items()}


def test_scores_are_the_sum_of_features_times_templates_at_every_shift():
    net = toy.network()
    features = torch.randn(2, 8, net.grid.bins, generator=torch.Generator().manual_seed(0))
    scores = net.scores(features).detach()
    rest = net.templates.detach()
    for shift in (0, 7, net.shifts - 1):
        begin = net.shifts - 1 - shift  # the higher the redshift, the bluer the rest frame that is seen
        expected = torch.einsum("bcn,kcn->bk", features, rest[:, :, begin : begin + net.grid.bins])
        assert torch.allclose(scores[:, :, shift], expected, atol=1e-4)


def test_a_spectrum_moved_by_bins_has_its_scores_moved_by_as_many():
    net = toy.network()
    bins, moved = net.grid.bins, 9
    features = torch.zeros(1, 8, bins)
    features[..., 40 : bins - 40] = torch.randn(8, bins - 80, generator=torch.Generator().manual_seed(0))
    before = net.scores(features).detach()
    after = net.scores(features.roll(moved, -1)).detach()
    assert torch.allclose(after[..., moved:], before[..., :-moved], atol=1e-4)


def test_the_posterior_is_one_over_what_is_searched_and_nothing_elsewhere():
    net = toy.network()
    log_p = net.log_posterior(*net.binned(toy.batch(toy.spectra(3))))
    assert log_p.exp().sum((1, 2)).detach().numpy() == pytest.approx(1, rel=1e-5)
    z = torch.expm1(net.log_scale)
    galaxy, quasar = (torch.isfinite(log_p[0, k]) for k in range(2))
    assert z[galaxy].max() < 0.61 and z[quasar].min() > 0.29 and z[quasar].max() > 1.49


def test_it_learns_class_and_redshift(tested):
    made, said = tested
    error = abs(said["z"] - made["z"]) / (1 + made["z"])
    assert (error < 0.003).mean() > 0.95
    assert (said["class"] == made["quasar"]).mean() > 0.95
    plain = said["flag"] == 0
    assert plain.mean() > 0.8 and (error[plain] < 0.003).mean() > 0.985


def test_the_best_fit_elsewhere_is_always_compared(tested):
    _, said = tested
    assert np.isfinite(said["delta_chi2"]).mean() > 0.97


def test_the_fit_is_finer_than_the_bins_and_its_errors_are_errors(tested):
    made, said = tested
    near = abs(said["z"] - made["z"]) / (1 + made["z"]) < 0.003
    dz = ((said["z"] - made["z"]) / (1 + made["z"]))[near]
    coarse = ((said["z_network"] - made["z"]) / (1 + made["z"]))[near]
    assert np.std(dz) < 0.7 * np.std(coarse)
    pull = ((said["z"] - made["z"]) / said["zerr"])[near]
    assert 0.6 < 1.4826 * np.median(abs(pull)) < 1.6


def test_without_the_fit_redshifts_are_those_of_the_posterior_and_errors_its_width(trained, tested):
    made, fitted = tested
    quick = copy.copy(trained)
    quick.config = trained.config.model_copy(update={"refine": False})
    with torch.inference_mode():
        said = {name: values.numpy() for name, values in quick.predict(toy.batch(made), "redshift").items()}
    assert (said["z"] == fitted["z_network"]).all() and (said["posterior"] == fitted["posterior"]).all()
    assert np.isnan(said["delta_chi2"]).all() and np.isnan(said["reduced_chi2"]).all()
    assert (said["flag"] & (FLAGS["misfit"] | FLAGS["fits_elsewhere"]) == 0).all()
    right = abs(said["z"] - made["z"]) / (1 + made["z"]) < 0.003
    pull = ((said["z"] - made["z"]) / said["zerr"])[right]
    assert 0.3 < 1.4826 * np.median(abs(pull)) < 1.6


def test_the_width_of_a_peak_is_that_of_a_gaussian_and_of_a_single_bin():
    shift = torch.arange(200)
    gaussian = torch.exp(-0.5 * ((shift - 100) / 2.0).square())[None]
    single = torch.zeros(1, 200)
    single[0, 5] = 1
    width = peaks.spread(torch.cat([gaussian / gaussian.sum(), single]), torch.tensor([100, 5]), 12)
    assert width.tolist() == pytest.approx([(4 + 1 / 12) ** 0.5, 12**-0.5], rel=1e-3)


def test_probabilities_are_shares(tested):
    made, said = tested
    right = abs(said["z"] - made["z"]) / (1 + made["z"]) < 0.003
    assert abs(said["probability"].mean() - right.mean()) < 0.05
    assert (said["posterior"].sum(1) < 1 + 1e-4).all() and (said["posterior"].sum(1) > 1 - 1e-2).all()
    assert (said["probability"] >= said["probability_second"] - 1e-6).mean() > 0.95


def test_what_is_like_nothing_in_training_is_flagged(trained):
    rng = np.random.default_rng(4)
    made = toy.spectra(30, seed=5, noise=0.05)
    made["flux"] = (1 + np.sin(toy.WAVELENGTH / 37)[None] * rng.uniform(0.5, 1, (30, 1))).astype("f4")
    noise = toy.spectra(60, seed=6)
    noise["flux"] = (rng.normal(size=noise["flux"].shape) / np.sqrt(noise["ivar"])).astype("f4")
    with torch.inference_mode():
        strange = trained.predict(toy.batch(made), "redshift")["flag"]
        nothing = trained.predict(toy.batch(noise), "redshift")["flag"]
    assert ((strange & FLAGS["misfit"]) > 0).float().mean() > 0.9
    assert ((nothing & FLAGS["unsure"]) > 0).float().mean() > 0.6  # without blank spectra in training .33


def test_the_ends_of_what_is_searched_are_those_of_the_class(trained):
    place = torch.tensor([0, 1, trained.shifts - 1, int(trained.searched[0].nonzero().max()), 5])
    kind = torch.tensor([0, 0, 1, 0, 1])  # a quasar at place 5 is below what is searched
    fine = torch.ones(5)
    flag = trained.flag(kind, place, fine, fine, torch.zeros(5), fine)
    assert ((flag & FLAGS["edge"]) > 0).tolist() == [True, False, True, True, True]


def test_few_pixels_are_flagged_and_none_at_all_do_no_harm(trained):
    made = toy.spectra(4, seed=7)
    made["ivar"][:2, 90:] = 0
    made["ivar"][3], made["flux"][3] = 0, 0
    with torch.inference_mode():
        said = trained.predict(toy.batch(made), "redshift")
        embedded = trained.embed(toy.batch(made), "spectrum")
    few = ((said["flag"] & FLAGS["few_pixels"]) > 0).tolist()
    assert few == [True, True, False, True]
    assert torch.isfinite(embedded).all() and torch.isfinite(said["z"]).all()


def test_the_embedding_is_that_of_the_rest_frame(trained):
    z = np.array([0.1, 0.3])
    pairs = [toy.spectra(40, seed=8, noise=0.02, z=value, quasar=False) for value in z]
    with torch.inference_mode():
        near, far = (trained.embed(toy.batch(made), "spectrum").numpy() for made in pairs)
    spread = trained.embed(toy.batch(toy.spectra(200, seed=9)), "spectrum").detach().numpy()[:, :6].std(0)
    assert (abs(near[:, :6] - far[:, :6]).mean(0) < 0.5 * spread).mean() > 0.6
    sine, cosine = near[:, 7], near[:, 7 + trained.config.code]  # of the longest period
    assert np.median(np.arctan2(sine, cosine)) == pytest.approx(2 * np.pi * np.log(1.1) / 4, abs=0.01)
    assert far.shape[1] == 6 + 1 + 2 * trained.config.code


def test_tokens_are_pieces_of_the_rest_frame(trained):
    pairs = [toy.spectra(8, seed=8, noise=1e-3, z=z, quasar=False) for z in (0.1, 0.3)]
    with torch.inference_mode():
        near, far = (trained.tokens(toy.batch(made)) for made in pairs)
    assert near.shape[2] == trained.width
    seen = [(tokens[:, :, :-8] != 0).any(2).all(0) for tokens in (near, far)]
    both = seen[0] & seen[1]
    inner = both & both.roll(1) & both.roll(-1)  # ends of a spectrum are seen by convolutions
    assert inner.sum() >= 5 and (seen[0] != seen[1]).any()
    a, b = near[:, inner, :-8].flatten(), far[:, inner, :-8].flatten()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.8
    assert torch.equal(near[:, :, -8:], far[:, :, -8:])
    places = trained.places()
    assert places.rest_frame and places.count == near.shape[1]
    for z, there in zip((0.1, 0.3), seen, strict=True):  # what is seen of the rest frame is where it should be
        first, last = (np.array(trained.config.grid.span) / (1 + z)).tolist()
        inside = (places.lower > first) & (places.upper < last)
        assert there.numpy()[inside].all() and not there.numpy()[(places.upper < 0.97 * first)].any()


def test_the_scan_is_a_weighted_least_squares_fit_at_every_place():
    rng = np.random.default_rng(0)
    flux, ivar = rng.normal(3, 1, (2, 70)), rng.uniform(0.5, 2, (2, 70))
    rest = rng.normal(size=(3, 120))
    begin, reach = np.array([20, 31]), 3
    given = [torch.tensor(values).float() for values in (flux, ivar, rest)]
    found = refine.scan(*given, torch.tensor(begin), reach).numpy()
    d, w, scale = (values.numpy() for values in templates.normalised(*given[:2]))
    smooth = np.polynomial.legendre.legvander(np.linspace(-1, 1, 70), 2).T
    for row in range(2):
        for place in range(-reach, reach + 1):
            first = begin[row] + place
            design = np.vstack([rest[:, first : first + 70], smooth]) * np.sqrt(w[row])
            target = d[row] * np.sqrt(w[row])
            best, *_ = np.linalg.lstsq(design.T, target, rcond=None)
            chi2 = ((target - best @ design) ** 2).sum()
            assert found[row, place + reach] == pytest.approx(chi2, rel=2e-3, abs=1e-2)
    curve = refine.curve(*given, torch.tensor(begin)).numpy()
    again = (w[0] * (d[0] - curve[0] / scale[0]) ** 2).sum()
    assert again == pytest.approx(found[0, reach], rel=2e-3, abs=1e-2)


def test_the_minimum_of_a_parabola_is_found_exactly():
    x = torch.arange(-5.0, 6.0)
    chi2 = torch.stack([4 * (x - 1.3).square() + 7, 0.25 * (x + 2.6).square() + 1])
    place, value, error = refine.minimum(chi2)
    assert place.numpy() == pytest.approx([1.3, -2.6], abs=1e-4)
    assert value.numpy() == pytest.approx([7, 1], abs=1e-3)
    assert error.numpy() == pytest.approx([0.5, 2.0], rel=1e-4)  # where chi2 is one more


@pytest.mark.parametrize("seen", [300, 220])
def test_templates_span_what_spectra_are_made_of_also_where_each_shows_a_part(seen):
    rng = np.random.default_rng(0)
    rest = np.vstack([np.ones(300), np.sin(np.arange(300) / 9), np.exp(-0.5 * ((np.arange(300) - 150) / 20) ** 2)])
    made = rng.normal(size=(200, 3)) * [1, 0.5, 0.5] @ rest + 3
    weight = np.zeros((200, 300))
    for row, begin in enumerate(rng.integers(0, 301 - seen, 200)):
        weight[row, begin : begin + seen] = 400
    noisy = made + rng.normal(size=made.shape) / 20
    given = [torch.tensor(values).float() for values in (np.where(weight > 0, noisy, 0), weight)]
    found = templates.learn(*given, 3, LogGrid(4000.0, 2.1e-4, 300), rounds=30).numpy()
    fitted = np.linalg.lstsq(found.T, made.T, rcond=None)[0].T @ found
    inner = slice(20, 280)
    assert np.sqrt(((fitted - made)[:, inner] ** 2).mean()) < (0.007 if seen == 300 else 0.025)
    if seen == 300:  # then it is what the singular value decomposition gives
        oracle = np.linalg.svd(noisy, full_matrices=False)[2][:3]
        overlap = np.linalg.svd(oracle @ np.linalg.qr(found.T)[0], compute_uv=False)
        assert overlap.min() > 0.999


def test_peaks_are_apart_and_probabilities_are_summed_over_classes():
    log_p = torch.full((1, 2, 200), -30.0)
    log_p[0, 0, 50], log_p[0, 0, 52], log_p[0, 1, 51], log_p[0, 1, 150] = -1.0, -1.5, -2.0, -3.0
    kind, shift, value = peaks.highest(log_p, 3, 24)
    assert kind.tolist() == [[0, 1, 1]] and shift.tolist() == [[50, 51, 150]]
    assert value[0].tolist() == pytest.approx([-1.0, -2.0, -3.0])
    total = peaks.within(log_p.exp().sum(1), shift, 3)[0]
    assert total.tolist() == pytest.approx([np.exp([-1, -1.5, -2]).sum()] * 2 + [np.exp(-3)], abs=1e-5)


def test_the_temperature_that_was_put_in_is_found():
    generator = torch.Generator().manual_seed(0)
    log_p = (2 * torch.randn(4000, 1, 60, generator=generator)).flatten(1).log_softmax(1)
    draw = torch.multinomial(log_p.exp(), 1, generator=generator)[:, 0]
    wide = torch.full((4000, 1, 180), -1e4)
    wide[:, 0, ::3] = log_p * 2  # too sure by a factor of two; places apart, so that neighbours do not count
    assert best_temperature(wide, torch.zeros(4000, dtype=torch.long), draw.double() * 3) == pytest.approx(2, rel=0.12)


def test_augmentation_moves_spectra_by_whole_bins_and_hides_without_inventing():
    config = Config(augment={"noise": 0, "masked": 0.1, "cropped": 1.0, "smoothed": 0, "calibration": 0, "shift": 0.05})
    flux = torch.arange(1.0, 2001.0).expand(50, -1).contiguous()
    ivar = torch.ones(50, 2000)
    new, weight, moved = augment(flux, ivar, config, LogGrid(4000.0, 4e-4, 2000), Draws(0, 1, 50))
    assert moved.abs().max() <= 125 and moved.abs().max() > 60 and (moved == 0).any()
    seen = weight > 0
    expected = flux - moved[:, None]
    assert torch.equal(new[seen], expected[seen]) and (new[~seen] == 0).all()
    assert 0.2 < seen.float().mean() < 0.8
    again, *_ = augment(flux, ivar, config, LogGrid(4000.0, 4e-4, 2000), Draws(0, 1, 50))
    assert torch.equal(new, again)


def test_more_noise_is_told_by_the_inverse_variance():
    config = Config(augment={"noise": 2, "masked": 0, "cropped": 0, "smoothed": 0, "calibration": 0, "shift": 0})
    new, weight, _ = augment(
        torch.zeros(200, 3000), torch.full((200, 3000), 4.0), config, LogGrid(4000.0, 4e-4, 3000), Draws(0, 2, 200)
    )
    added = new.var(1)
    told = 1 / weight[:, 0] - 0.25
    assert (added - told).abs().max() < 0.1 and told.max() > 0.5


def test_labels_outside_of_what_is_searched_do_not_count():
    objective = Objective(toy.network())
    made = toy.spectra(4, seed=1, quasar=False)
    made["z"] = np.array([0.2, 0.7, np.nan, 0.3], "f4")  # 0.7 is beyond the galaxies' range
    given = toy.batch(made)
    given.labels["spectype_true"][3] = 2.0  # a star: no class of the network
    assert objective.known(given)[2].tolist() == [True, False, False, False]


def test_the_catalogue_can_be_learned_from_instead_of_the_truth():
    objective = Objective(toy.network(learn_from="catalogue"))
    assert objective.labels == ("z", "spectype")


def test_a_class_without_training_spectra_is_never_found():
    made = toy.spectra(200, seed=1, quasar=False)
    objective = Objective(toy.network()).eval()
    objective.finish([toy.batch(made)], [])
    assert objective.model.known.tolist() == [True, False]
    with torch.inference_mode():
        said = objective.model.predict(toy.batch(toy.spectra(20, seed=2)), "redshift")
    assert (said["class"] == CLASSES.index("GALAXY")).all() and (said["p_qso"] == 0).all()


def test_too_few_training_spectra_of_every_class_are_one_line_and_no_model_without_redshifts():
    objective = Objective(toy.network())
    with pytest.raises(BadInput, match="has 5 GALAXY, 0 QSO with a known redshift to learn from, and needs 12 of a"):
        objective.finish([toy.batch(toy.spectra(5, seed=1, quasar=False))], [])


@pytest.fixture
def configuration():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"width": 8}, "models.net.model.width: 8 is even; expected an odd number of bins"),
        ({"grid": {"start": 5000.0}}, "models.net.model.grid: .* is not allowed; the spectra of survey mock have"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(model, words, configuration):
    configuration["models"]["net"] = {"kind": "redshift", "modality": "spectrum", "model": model}
    configuration["surveys"]["mock"]["models"].append("net")
    with pytest.raises(BadConfig, match=words):
        load(configuration)
