import pytest
import torch
from sklearn.decomposition import PCA as Oracle

from skyloom.core.errors import BadInput
from skyloom.models.pca.network import PCA, Config
from skyloom.nn.images import HSC_SOFTENING


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
    model = PCA(Config(modality="spectrum", pixels=90, components=components))
    model.fit(vectors.clone())
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
    batch = {"flux": vectors[:7], "ivar": torch.ones(7, 90)}
    scaled = {"flux": 50 * vectors[:7] + 3, "ivar": torch.ones(7, 90)}
    assert model.embed(batch).shape == (7, 5)
    assert torch.allclose(model.embed(batch), model.embed(scaled), atol=1e-3)


def test_image_pca_uses_the_central_part():
    model = PCA(Config(modality="image", pixels=4, components=2))
    rgb = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.vectors({"rgb": rgb}), rgb[:, :, 2:6, 2:6].flatten(1))


def test_hsc_pca_stretches_the_five_bands_of_the_central_part():
    model = PCA(Config(modality="hsc_image", pixels=4, components=2))
    flux = 0.01 * torch.rand(3, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.asinh(flux[:, :, 2:6, 2:6] / torch.tensor(HSC_SOFTENING).view(5, 1, 1)).flatten(1)
    assert model.inputs == {"hsc_image": ("flux",)} and torch.allclose(model.vectors({"flux": flux}), expected)
    assert model.embed({"flux": flux}, "hsc_image").shape == (3, 2)


def test_too_few_samples_are_refused(vectors):
    with pytest.raises(BadInput, match="components: 5 needs at least 6"):
        fitted(vectors[:5])
