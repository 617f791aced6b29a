import pytest
import torch
from sklearn.decomposition import PCA as Oracle
from sklearn.preprocessing import StandardScaler

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.pca import Config
from skyloom.models.pca.network import PCA
from skyloom.models.specformer import Config as SpecFormerConfig
from skyloom.models.specformer.network import SpecFormer
from skyloom.nn.batch import Batch
from skyloom.nn.images import HSC_SOFTENING
from skyloom.settings.survey import Grid


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(6, 90, generator=generator)
    strength = torch.tensor([9.0, 7, 5, 3, 2, 1])
    return (
        torch.randn(300, 6, generator=generator) * strength @ basis
        + 0.1 * torch.randn(300, 90, generator=generator)
        + 2
    )


def fitted(vectors, components=5):
    torch.manual_seed(0)
    model = PCA(Config(components=components), ("spectrum",))
    model.decompose(vectors.clone())
    return model


def test_components_agree_with_scikit_learn(vectors):
    model, oracle = fitted(vectors), Oracle(5).fit(vectors.numpy())
    overlap = (model.directions @ torch.from_numpy(oracle.components_).T).abs()
    assert torch.allclose(overlap, torch.eye(5), atol=1e-3)
    assert model.explained_variance_ratio.numpy() == pytest.approx(oracle.explained_variance_ratio_, rel=1e-3)
    ours = (vectors - model.mean) @ model.directions.T
    assert ours.abs().numpy() == pytest.approx(abs(oracle.transform(vectors.numpy())), abs=0.05)


def test_a_prefix_of_the_components_is_the_smaller_pca(vectors):
    few, many = fitted(vectors, 3), fitted(vectors, 5)
    assert torch.allclose(few.directions, many.directions[:3], atol=1e-3)


def test_the_largest_loading_is_positive(vectors):
    directions = fitted(vectors).directions
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()


def test_embedding_normalises_spectra_first(vectors):
    model = fitted(vectors)
    batch, scaled = (
        Batch({"spectrum": {"flux": flux, "ivar": torch.ones(7, 90)}}) for flux in (vectors[:7], 50 * vectors[:7] + 3)
    )
    assert model.embed(batch, "spectrum").shape == (7, 5)
    assert torch.allclose(model.embed(batch, "spectrum"), model.embed(scaled, "spectrum"), atol=1e-3)


def test_spectra_enter_as_they_enter_a_specformer():
    """Weighted mean and deviation, noisy pixels shrunk: the same input, so that the comparison is of the models."""
    generator = torch.Generator().manual_seed(3)
    flux, ivar = torch.randn(4, 120, generator=generator) + 3, torch.rand(4, 120, generator=generator)
    ivar[:, 30:37] = 0
    batch = Batch({"spectrum": {"flux": flux, "ivar": ivar}})
    shape = {"grid": Grid(pixels=120), "input": "pixels", "size": 20, "stride": 20, "dim": 8, "layers": 1}
    network = SpecFormer(SpecFormerConfig(**shape), ("spectrum",))
    theirs = network.input.seen(flux, ivar)[:, 1:, 2:].flatten(1)
    assert torch.allclose(PCA(Config(components=2), ("spectrum",)).vectors(batch), theirs, atol=1e-6)
    plain = PCA(Config(components=2, normalise="zscore"), ("spectrum",)).vectors(batch)
    assert not torch.allclose(plain, theirs, atol=1e-1)


def test_image_pca_uses_the_central_part_or_all_of_it():
    rgb = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = Batch({"image": {"rgb": rgb}})
    assert torch.equal(PCA(Config(pixels=4, components=2), ("image",)).vectors(batch), rgb[:, :, 2:6, 2:6].flatten(1))
    assert torch.equal(PCA(Config(components=2), ("image",)).vectors(batch), rgb.flatten(1))


def test_hsc_pca_stretches_the_five_bands_of_the_central_part():
    model = PCA(Config(pixels=4, components=2), ("hsc_image",))
    flux = 0.01 * torch.rand(3, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.asinh(flux[:, :, 2:6, 2:6] / torch.tensor(HSC_SOFTENING).view(5, 1, 1)).flatten(1)
    assert model.inputs == {"hsc_image": ("flux",)}
    assert torch.allclose(model.vectors(Batch({"hsc_image": {"flux": flux}})), expected)


@pytest.mark.parametrize("modality", ["scalars", "lsst", "spherex", "sfh", "sed"])
def test_vectors_are_standardised_by_the_training_galaxies(modality):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200, 4, generator=generator) @ torch.randn(4, 6, generator=generator)
    values = values * torch.tensor([1e4, 1, 1e-3, 1, 1, 1]) + torch.tensor([5e5, 0, 1, 0, 0, 2])
    values[:, 4] = 7.0  # tells nothing: no division by zero
    torch.manual_seed(0)
    model = PCA(Config(components=3), (modality,))
    metrics = model.fit(Batch({modality: {"values": part}}) for part in values.split(64))
    kept = [0, 1, 2, 3, 5]
    oracle = Oracle(3).fit(StandardScaler().fit_transform(values.double().numpy()[:, kept]))
    assert [row["explained_variance"] for row in metrics] == pytest.approx(
        oracle.explained_variance_ratio_.cumsum(), rel=1e-3
    )
    ours = model.embed(Batch({modality: {"values": values}}), modality).abs().numpy()
    theirs = abs(oracle.transform(StandardScaler().fit_transform(values.double().numpy()[:, kept])))
    assert ours == pytest.approx(theirs, abs=2e-2)


def test_a_fitted_pca_comes_back_with_the_size_it_found(vectors):
    model = fitted(vectors)
    again = PCA(Config(components=5), ("spectrum",))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.directions, model.directions) and again.mean.shape == (90,)


def test_more_components_or_pixels_than_numbers_are_refused(vectors):
    with pytest.raises(BadConfig, match="components: 5 is not allowed; must be at most 4, the numbers of spectrum"):
        fitted(vectors[:, :4])
    with pytest.raises(BadConfig, match="pixels: 99 is not allowed; lsst has 6"):
        PCA(Config(pixels=99, components=2), ("lsst",)).vectors(Batch({"lsst": {"values": torch.ones(3, 6)}}))


def test_too_few_samples_are_refused(vectors):
    with pytest.raises(BadInput, match="components: 5 needs at least 6"):
        fitted(vectors[:5])
