"""MOSAIC: masks as in appendix A of Xia et al. 2025, no leak, the loss on all numbers, distributions, queries."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.models.mosaic import SIZES, Config, Masks, masks
from skyloom.models.mosaic import distribution as said
from skyloom.models.mosaic.network import Mosaic
from skyloom.models.mosaic.numbers import choose, unit_of
from skyloom.models.mosaic.objective import Objective
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.settings.models import read_model
from skyloom.settings.section import parse

SMALL = {"scalars": 3, "lsst": 6, "sfh": 20}
SHAPE = {"sizes": {"sfh": 20}, "dim": 16, "layers": 2, "heads": 2, "kept": 80, "factors": 2}
PUBLISHED = {
    **{"norm": "after", "unknown": "zero", "entry": "linear", "says": "mean"},
    **{"scale": "modality", "visible": 1.0, "scored": 1.0, "colours": 0.0},
}


def network(**changes) -> Mosaic:
    torch.manual_seed(0)
    model = Mosaic(parse(Config, SHAPE | changes, "model"), tuple(SMALL))
    edges = np.linspace(0, 13.8, 21).tolist()
    scalars = {name: {"mean": 1.0, "std": 2.0} for name in ("log_mhalo", "log_mstar", "redshift")}  # as JSON sorts them
    vectors = {m: {"values": {"mean": 20.0, "std": 3.0}} for m in ("lsst", "sfh")}
    model.standardise({"scalars": {"values": scalars}, **vectors, "sfh": {**vectors["sfh"], "axis": edges}})
    return model


def galaxies(count: int = 40, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(count, 1, generator=generator)
    values = {m: one + 0.3 * torch.randn(count, size, generator=generator) for m, size in SMALL.items()}
    scale = {"scalars": (1.0, 2.0), "lsst": (20.0, 3.0), "sfh": (20.0, 3.0)}
    return Batch(
        {m: {"values": scale[m][0] + scale[m][1] * v} for m, v in values.items()}, targetid=torch.arange(count)
    )


# masks


@pytest.mark.parametrize("size", [6, 102, 117, 921])
def test_spans_add_up_to_the_budget_of_the_paper_and_stay_inside(size):
    starts, lengths = (found[:, 1] for found in masks.spans(Draws(0, 1, 500), [7, size], 0.2, 0.2))
    assert (lengths.sum(1) == math.ceil(0.2 * size)).all()
    assert (starts >= 0).all() and (starts + lengths <= size).all()
    covered = masks.covered(starts, lengths, size)
    by_hand = torch.zeros(500, size, dtype=torch.bool)
    for row in range(500):
        for start, length in zip(starts[row], lengths[row], strict=True):
            by_hand[row, start : start + length] = True
    assert torch.equal(covered, by_hand)
    assert (covered.sum(1) <= math.ceil(0.2 * size)).all() and covered.any(1).all()


def test_with_a_larger_share_spans_add_up_to_anything_between_the_two():
    _, lengths = masks.spans(Draws(0, 1, 4000), [117], 0.2, 0.8)
    share = lengths[:, 0].sum(1).double() / 117
    assert share.min() >= 0.2 and share.max() <= 0.81
    assert stats.ks_1samp(share.numpy(), stats.uniform(0.2, 0.6).cdf).statistic < 0.03


def test_spans_are_of_many_lengths_isolated_numbers_among_them():
    _, lengths = masks.spans(Draws(0, 1, 500), [921], 0.2, 0.2)
    there = lengths[lengths > 0]
    assert (there == 1).float().mean() > 0.05 and (there > 90).float().mean() > 0.05


def test_all_subsets_of_modalities_are_equally_likely_and_scalars_are_hidden_one_by_one():
    sizes = {"scalars": 3, "lsst": 6, "spherex": 102, "sfh": 117, "sed": 921}
    hidden = masks.draw(Draws(0, 1, 20_000), sizes, Masks(whole=0.0, largest=0.2))
    whole = torch.stack([hidden[m].all(1) for m in sizes if m != "scalars"], 1)
    subset = (whole * 2 ** torch.arange(4)).sum(1)
    counts = np.bincount(subset.numpy(), minlength=16)
    assert stats.chisquare(counts).pvalue > 1e-3
    shown = hidden["scalars"][~hidden["scalars"].all(1)]
    # a scalar of a galaxy that shows scalars: half, less the one in eight where chance hides all three
    assert shown.float().mean().item() == pytest.approx((0.5 - 0.125) / 0.875, abs=0.01)
    each = hidden["scalars"].float().mean(0)
    assert torch.allclose(each, torch.full((3,), 0.75), atol=0.015)


def test_masks_are_a_function_of_seed_and_step_and_the_same_on_two_processes():
    sizes = {"scalars": 3, "sfh": 117}
    one = masks.draw(Draws(3, 7, 8), sizes, Masks(whole=0.0, largest=0.2))
    halves = [masks.draw(Draws(3, 7, 8, slice(rank, None, 2)), sizes, Masks(whole=0.0, largest=0.2)) for rank in (0, 1)]
    for name in sizes:
        assert torch.equal(one[name][0::2], halves[0][name]) and torch.equal(one[name][1::2], halves[1][name])


# the network


def test_the_published_model_has_a_token_for_each_of_1149_numbers():
    settings = parse(Config, PUBLISHED | {"dim": 64, "layers": 2, "heads": 4, "kept": 0, "factors": 0}, "model")
    model = Mosaic(settings, tuple(SIZES))
    assert model.position.shape == (1, 1149, 64)
    each = 5 * (2 * 64) + 5 * (64 + 1)  # entry R -> R^d with a bias, head back to one number
    layer = 4 * 64 * 64 + 4 * 64 + 2 * 4 * 64 * 64 + 5 * 64 + 4 * 64  # attention, MLP, two norms
    assert sum(p.numel() for p in model.parameters()) == 1149 * 64 + each + 2 * layer


@pytest.mark.parametrize("changes", [{}, PUBLISHED | {"factors": 0}, {"patch": {"sfh": 6}}])
def test_a_hidden_number_does_not_leak_into_what_is_said_of_it(changes):
    if "factors" in changes:
        changes = {k: v for k, v in changes.items() if k != "factors"}
        model = network_without_factors(changes)
    else:
        model = network(**changes)
    batch = galaxies(6)
    values, known = model.scaled(batch)
    visible = {m: there.clone() for m, there in known.items()}
    visible["sfh"][:, 5:9] = False
    visible["scalars"][:, 0] = False
    before = model(values, visible)
    for name, places in (("sfh", slice(5, 9)), ("scalars", slice(0, 1))):  # from the catalogue on
        raw = batch[name]["values"].clone()
        raw[:, places] += 100
        batch = batch.changed(name, values=raw)
    after = model(model.scaled(batch)[0], visible)
    for name in SMALL:
        assert torch.equal(before[name], after[name])


def network_without_factors(changes):
    torch.manual_seed(0)
    shape = {key: value for key, value in SHAPE.items() if key != "factors"}
    return Mosaic(parse(Config, shape | changes, "model"), tuple(SMALL))


def test_a_number_that_is_visible_is_seen():
    model, batch = network(), galaxies(6)
    values, known = model.scaled(batch)
    before = model(values, known)
    other = {**values, "lsst": values["lsst"] + 1}
    assert not torch.allclose(before["scalars"], model(other, known)["scalars"])


def test_with_a_flag_a_hidden_number_differs_from_one_at_the_mean_and_without_it_does_not():
    for changes, same in (({"unknown": "flag"}, False), ({"unknown": "zero"}, True)):
        model = network(**changes)
        values = {m: torch.zeros(2, size) for m, size in SMALL.items()}
        seen = {m: torch.ones(2, size, dtype=torch.bool) for m, size in SMALL.items()}
        hidden = {**seen, "lsst": torch.zeros(2, 6, dtype=torch.bool)}
        assert torch.equal(model(values, seen)["scalars"], model(values, hidden)["scalars"]) is same


def test_missing_numbers_and_modalities_are_as_hidden_ones():
    model, batch = network(), galaxies(4)
    values, known = model.scaled(batch)
    raw = batch["lsst"]["values"].clone()
    raw[:, 2] = torch.nan
    partly = batch.changed("lsst", values=raw)
    partly = Batch({m: partly[m] for m in ("lsst", "scalars")}, targetid=batch.targetid)
    found, there = model.scaled(partly)
    expected = {**known, "sfh": torch.zeros_like(known["sfh"])}
    expected["lsst"] = known["lsst"].clone()
    expected["lsst"][:, 2] = False
    assert all(torch.equal(there[m], expected[m]) for m in SMALL)
    assert torch.allclose(model(found, there)["sfh"], model(values, expected)["sfh"])


def test_numbers_are_standardised_by_the_training_split_and_come_out_in_their_units():
    model = network()
    values, _ = model.scaled(Batch({"lsst": {"values": torch.full((1, 6), 23.0)}}))
    assert torch.allclose(values["lsst"], torch.ones(1, 6))
    assert torch.allclose(model.physical("lsst", torch.ones(1, 6)), torch.full((1, 6), 23.0))
    assert torch.allclose(model.physical("scalars", torch.ones(1, 3, 2)), torch.full((1, 3, 2), 3.0))


def test_each_scalar_has_its_own_mean_whatever_the_order_in_which_statistics_come():
    model = network()
    values = {name: {"mean": mean, "std": 1.0} for name, mean in (("log_mhalo", 11), ("log_mstar", 9), ("redshift", 1))}
    model.standardise({"scalars": {"values": values}})
    assert model.mean_scalars.tolist() == [1, 11, 9]


# the loss


def test_the_loss_is_on_all_numbers_with_equal_weight_of_each_modality():
    torch.manual_seed(0)
    model = network_without_factors(PUBLISHED)
    batch = galaxies(16)
    objective = Objective(model).eval()
    draws = Draws(0, 5, 16)
    loss, parts = objective(batch, draws, 0.0)
    values, known = model.scaled(batch)
    out = model(values, objective.visible(known, Draws(0, 5, 16)))
    by_hand = [((out[m][..., 0] - values[m]) ** 2).mean() for m in SMALL]
    assert loss.item() == pytest.approx(torch.stack(by_hand).mean().item(), rel=1e-5)
    assert set(parts) == set(SMALL)


def test_the_loss_looks_at_some_numbers_of_every_token_and_at_all_in_validation():
    model = network(patch={"sfh": 8, "lsst": 6}, scored=0.25)
    objective = Objective(model).train()
    places = objective.scored(Draws(0, 1, 40))
    assert {name: len(p) for name, p in places.items()} == {"scalars": 1, "lsst": 6, "sfh": 6}  # few: all, or 6
    batch = galaxies()
    values, known = model.scaled(batch)
    hidden = model.hidden(values, known)
    some, whole = model.read(hidden, places), model.read(hidden)
    assert some["sfh"].shape[1] == 3 * 6  # 20 numbers in three tokens of 8
    numbers = torch.arange(24).view(3, 8)[:, places["sfh"]].flatten()
    there = numbers < 20
    torch.testing.assert_close(some["sfh"][:, there], whole["sfh"][:, numbers[there]])
    seen = model.at_places("sfh", values["sfh"], places["sfh"])
    torch.testing.assert_close(seen[:, there], values["sfh"][:, numbers[there]])
    assert (seen[:, ~there] == 0).all()
    assert all(len(p) == model.patches[name] for name, p in objective.eval().scored(Draws(0, 1, 40)).items())


def test_numbers_that_are_not_known_do_not_count_in_the_loss():
    model = network_without_factors(PUBLISHED)
    batch = galaxies(8)
    raw = batch["sfh"]["values"].clone()
    raw[:, 3] = torch.nan
    loss, parts = Objective(model).eval()(batch.changed("sfh", values=raw), Draws(0, 1, 8), 0.0)
    assert torch.isfinite(loss) and torch.isfinite(parts["sfh"])


def test_a_network_for_one_query_sees_that_and_nothing_else():
    model = network(given=["lsst", {"sfh": [0, 7]}])
    _, known = model.scaled(galaxies(4))
    visible = Objective(model).visible(known, Draws(0, 1, 4))
    assert visible["lsst"].all() and not visible["scalars"].any()
    assert visible["sfh"].sum(1).tolist() == [10] * 4


# distributions


def test_quantiles_rise_and_scores_are_the_inverse_of_values():
    torch.manual_seed(2)
    knots = said.quantiles(torch.randn(50, 7, len(said.LEVELS)))
    assert (knots.diff(dim=-1) > 0).all()
    scores = torch.randn(50, 7, 11) * 1.5
    values = said.value_at(scores, knots)
    back = torch.stack([said.score(values[..., i], knots) for i in range(11)], -1)
    assert torch.allclose(back, scores, atol=2e-3)


def test_quantiles_of_a_gaussian_give_its_distribution_function():
    knots = (2.0 + 3.0 * said.SCORES).expand(1, 5, -1)
    x = torch.linspace(-5, 9, 5)[None]
    assert torch.allclose(said.score(x, knots), (x - 2) / 3, atol=1e-4)


def test_the_pinball_loss_is_least_at_the_quantiles_of_the_data():
    draws = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    right = said.SCORES.expand(20_000, -1)
    best = said.pinball(right, draws).mean()
    for change in (0.15, -0.15):
        assert said.pinball(right + change, draws).mean() > best
    middle = torch.zeros(20_000, 1).expand(-1, len(said.LEVELS))
    assert said.pinball(middle, draws).mean() == pytest.approx(draws.abs().mean().item(), rel=0.02)


def test_the_copula_has_the_density_of_a_multivariate_normal():
    rng = np.random.default_rng(0)
    raw = torch.from_numpy(rng.normal(size=(4, 9, len(said.LEVELS) + 3))).float()
    load = said.loadings(raw)
    assert (load.square().sum(-1) < 1).all()
    z = torch.from_numpy(rng.normal(size=(4, 9))).float()
    counted = torch.from_numpy(rng.random((4, 9)) < 0.7)
    found = said.copula(z, load, counted)
    for row in range(4):
        here = counted[row].numpy()
        own = load[row][counted[row]].double().numpy()
        covariance = own @ own.T + np.diag(1 - (own**2).sum(1))
        joint = stats.multivariate_normal(np.zeros(here.sum()), covariance).logpdf(z[row].numpy()[here])
        alone = stats.norm.logpdf(z[row].numpy()[here]).sum()
        assert found[row].item() == pytest.approx(-(joint - alone) / here.sum(), abs=1e-4)


def test_scores_drawn_together_have_the_correlations_of_the_factors():
    load = torch.tensor([[[0.9, 0.0], [0.8, 0.3], [0.0, -0.6]]])
    normal = torch.randn(1, 5, 40_000, generator=torch.Generator().manual_seed(1))
    drawn = said.joint_scores(load, normal[:, :2], normal[:, 2:], {}, {"scalars": 3})[0].numpy()
    expected = (load[0] @ load[0].T).numpy()
    np.fill_diagonal(expected, 1)
    assert np.abs(np.corrcoef(drawn) - expected).max() < 0.02
    assert np.abs(drawn.std(axis=1) - 1).max() < 0.02


def test_what_the_factors_leave_is_shared_by_neighbours_as_it_was_measured():
    generator = torch.Generator().manual_seed(1)
    load = said.loadings(torch.randn(1, 45, len(said.LEVELS) + 2, generator=generator)).expand(3000, -1, -1) * 0.7
    normal = torch.randn(3000, 47, 1, generator=generator)
    sizes = {"scalars": 5, "sfh": 40}
    drawn = said.joint_scores(load, normal[:, :2], normal[:, 2:], {"sfh": 0.8}, sizes)[..., 0]
    assert (drawn.std(0) - 1).abs().max() < 0.05
    each = load[0]
    expected = each @ each.T
    left = (1 - each.square().sum(1)).sqrt()
    for a, b, rho in ((10, 11, 0.8), (10, 13, 0.8**3), (2, 3, 0.0), (4, 5, 0.0)):
        found = torch.corrcoef(drawn[:, [a, b]].T)[0, 1]
        assert found.item() == pytest.approx((expected[a, b] + rho * left[a] * left[b]).item(), abs=0.05)
    counted = torch.rand(3000, 40, generator=generator) < 0.9
    assert said.neighbours(drawn[:, 5:], load[:, 5:], counted) == pytest.approx(0.8, abs=0.06)
    plain = said.joint_scores(load, normal[:, :2], normal[:, 2:], {}, sizes)[..., 0]
    assert said.neighbours(plain[:, 5:], load[:, 5:], counted) < 0.05


# queries


def test_items_choose_modalities_single_values_and_ranges():
    axes = {"sfh": np.linspace(0, 13.8, 21)}
    chosen = choose(["lsst_r", "redshift", {"sfh": [0, 6.9]}], SMALL, axes, "given")
    assert chosen["lsst"].tolist() == [False, False, True, False, False, False]
    assert chosen["scalars"].tolist() == [True, False, False]
    assert chosen["sfh"].sum() == 10 and chosen["sfh"][:10].all()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"given": ["lsts"]}, "'lsts' is not known; did you mean 'lsst'?"),
        ({"given": ["lsst_q"]}, "'lsst_q' is not known"),
        ({"given": [{"lsst": [0, 1]}]}, "expected a range [low, high] of spherex, sfh, sed"),
        ({"given": [{"sfh": [5, 3]}]}, "expected a range [low, high]"),
        ({"given": []}, "needs at least 1 entries"),
        ({"given": ["lsst"], "wanted": ["mass"]}, "'mass' is not known"),
        ({"given": ["sed"]}, "'sed' is not a modality that the model takes"),
    ],
)
def test_a_query_that_cannot_be_is_refused_in_one_line_before_the_first_job(query, words):
    entry = {"kind": "mosaic", "modalities": list(SMALL), "model": SHAPE, "queries": {"mine": query}}
    with pytest.raises(BadConfig) as error:
        read_model("mosaic", entry)
    assert words in str(error.value) and "\n" not in str(error.value) and "queries.mine" in str(error.value)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"given": [{"sfh": [20, 30]}]}, "[20, 30] Gyr holds none of its numbers, which lie from"),
        ({"given": ["scalars", "lsst", "sfh"]}, "none is wanted"),
        ({"given": ["lsst"], "level": 0.99}, "must be at most 0.95"),
    ],
)
def test_a_query_that_the_model_cannot_answer_is_refused_in_one_line(query, words):
    with pytest.raises(BadConfig, match=words.replace("[", r"\[")):
        network().question("mine", query)


def test_queries_are_no_part_of_what_is_trained():
    entry = {"kind": "mosaic", "modalities": list(SMALL), "model": SHAPE, "queries": {"lsst": {"given": ["lsst"]}}}
    model = read_model("mosaic", entry)
    assert model.queries == ("lsst",)
    assert "queries" not in model.plain()


def finished(model: Mosaic, count: int = 120) -> Mosaic:
    Objective(model).finish(iter(()), iter([galaxies(count, seed=5)]))
    return model.eval()


def test_an_answer_has_a_column_for_each_wanted_number_with_rising_ends():
    model = finished(network())
    question = model.question("q", {"given": ["lsst"], "wanted": ["redshift", {"sfh": [0, 6.9]}], "samples": 5})
    assert model.needs(question) == ("lsst",)
    with torch.inference_mode():
        found = model.predict(galaxies(7), question)
    assert {name: tuple(v.shape) for name, v in found.items()} == {
        **dict.fromkeys(("redshift", "redshift_lower", "redshift_upper"), (7,)),
        "redshift_quantiles": (7, len(said.LEVELS)),
        "redshift_samples": (7, 5),
        **dict.fromkeys(("sfh", "sfh_lower", "sfh_upper"), (7, 10)),
        "sfh_samples": (7, 50),
    }
    for name in ("redshift", "sfh"):
        assert (found[f"{name}_lower"] <= found[name]).all() and (found[name] <= found[f"{name}_upper"]).all()
    about = model.about(question)
    assert about["columns"]["sfh"]["unit"] == "dex(Msun/yr)" and about["calibrated_on"] == 80


@pytest.mark.parametrize("changes", [{}, PUBLISHED])
def test_intervals_hold_on_new_galaxies_even_of_an_untrained_network(changes):
    model = network(**changes, kept=2000) if not changes else None
    if model is None:
        shape = {key: value for key, value in SHAPE.items() if key != "factors"} | {"kept": 2000}
        torch.manual_seed(0)
        model = Mosaic(parse(Config, shape | changes, "model"), tuple(SMALL))
    finished(model, 2000)
    question = model.question("q", {"given": ["lsst"]})
    fresh = galaxies(2000, seed=77)
    with torch.inference_mode():
        found = model.predict(fresh, question)
    truth = fresh["sfh"]["values"]
    inside = (truth >= found["sfh_lower"]) & (truth <= found["sfh_upper"])
    assert inside.float().mean().item() == pytest.approx(0.9, abs=0.02)
    z = fresh["scalars"]["values"][:, 0]
    inside = (z >= found["redshift_lower"]) & (z <= found["redshift_upper"])
    assert inside.float().mean().item() == pytest.approx(0.9, abs=0.025)


def test_drawn_galaxies_do_not_depend_on_the_batch_they_are_asked_in():
    model = finished(network())
    question = model.question("q", {"given": ["lsst"], "samples": 3})
    whole = galaxies(6)
    part = Batch({m: {"values": whole[m]["values"][3:]} for m in SMALL}, targetid=whole.targetid[3:])
    with torch.inference_mode():
        first, second = model.predict(whole, question), model.predict(part, question)
    assert torch.allclose(first["sfh_samples"][3:], second["sfh_samples"], atol=1e-4)


def test_training_learns_what_numbers_have_in_common():
    model = network(factors=0)
    objective = Objective(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(150):
        loss, _ = objective(galaxies(64, seed=1000 + step), Draws(0, step, 64), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    finished(model)
    fresh = galaxies(500, seed=9)
    question = model.question("q", {"given": ["lsst"], "wanted": ["redshift"]})
    with torch.inference_mode():
        said_of = model.predict(fresh, question)["redshift"]
    truth = fresh["scalars"]["values"][:, 0]
    error = (said_of - truth).abs().mean() / (truth - truth.median()).abs().mean()
    assert error < 0.5  # .3 is the scatter of one number about what all share


def test_a_model_that_was_saved_gives_the_same_answers(tmp_path):
    from safetensors.torch import save_file

    from skyloom.core.files import sha256, write_json

    model = networks.build({"kind": "mosaic", "modalities": list(SMALL), "model": SHAPE})
    model.load_state_dict(finished(network()).state_dict())
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    write_json(tmp_path / "model.json", {"config": model.description, "w": sha256(tmp_path / "model.safetensors")})
    loaded, _ = networks.load(tmp_path)
    asked = {"given": ["lsst"], "wanted": ["log_mstar"]}
    with torch.inference_mode():
        a, b = (m.eval().predict(galaxies(5), m.question("q", asked)) for m in (model, loaded))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_galaxies_that_lack_a_modality_keep_nothing_of_it():
    model = network(kept=40)
    batch = galaxies()
    there = torch.arange(40) < 15
    data = {
        m: {"values": torch.where(there[:, None], v["values"], 0) if m == "lsst" else v["values"]}
        for m, v in batch.data.items()
    }
    Objective(model).finish([], [Batch(data, {"lsst": there}, targetid=batch.targetid)])
    assert model.kept_lsst.isfinite().all(1).sum() == 15 and model.kept_sfh.isfinite().all()


def test_gaps_have_a_least_and_a_largest_share_and_pictures_no_magnitudes():
    with pytest.raises(BadConfig, match="largest: 0.1 is not allowed; must be at least vector, 0.2"):
        parse(Config, {"masks": {"largest": 0.1}}, "model")
    assert unit_of("lsst_image") == "" and unit_of("lsst_r") == unit_of("lsst") == "mag(AB)"
