"""What changes an image on its way to us does what the physics says: fluxes, moments, variances in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, special

from skyloom.mock.universe.light import dust
from skyloom.nn import observed, rgb
from skyloom.tokens import images

SIZE = 65


def gaussian(sigma=(4.0, 4.0), middle=(0.0, 0.0), flux=1.0, size=SIZE) -> torch.Tensor:
    """(1, 3, size, size): an elliptical Gaussian of deviations x and y, in pixels from the middle, of this total."""
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    x, y = (torch.exp(-((place - m) ** 2) / (2 * s**2)) for s, m in zip(sigma, middle, strict=True))
    light = y[:, None] * x
    return (flux * light / light.sum()).float().expand(1, 3, -1, -1).contiguous()


def moments(image: torch.Tensor) -> tuple[float, float, float, float, float]:
    """Middle x, y and second moments xx, yy, xy of an image (H, W), in pixels from its middle."""
    image = image.double() / image.double().sum()
    y, x = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in image.shape)
    mx, my = (image.sum(0) * x).sum(), (image.sum(1) * y).sum()
    x, y = x - mx, y - my
    xx, yy, xy = (image.sum(0) * x * x).sum(), (image.sum(1) * y * y).sum(), (image * y[:, None] * x).sum()
    return tuple(float(value) for value in (mx, my, xx, yy, xy))


def placed(image, size=SIZE, angle=0.0, scale=1.0, mirrored=False, shift=(0, 0)) -> torch.Tensor:
    one = torch.tensor
    return observed.placed(image, size, one([angle]), one([scale]), one([mirrored]), one([shift]).float())


def test_dust_dims_each_band_by_its_coefficient():
    assert dict(zip("GRZ", observed.EXTINCTION, strict=True)).items() <= dust.EXTINCTION.items()
    flux, own, wanted = torch.rand(2, 3, 4, 4), torch.tensor([0.02, 0.3]), torch.tensor([0.12, 0.0])
    magnitudes = -2.5 * torch.log10(observed.reddened(flux, own, wanted) / flux)
    expected = (wanted - own)[:, None] * torch.tensor([3.214, 2.165, 1.211])
    torch.testing.assert_close(magnitudes, expected[..., None, None].expand_as(flux), rtol=1e-4, atol=1e-5)
    back = observed.reddened(observed.reddened(flux, own, wanted), wanted, own)
    torch.testing.assert_close(back, flux)


@pytest.mark.parametrize("angle", [0.3, 1.0, 2.5, math.pi / 2])
def test_turning_keeps_the_flux_and_round_galaxies(angle):
    round_one = gaussian((3.0, 3.0))
    turned = placed(round_one, angle=angle)
    assert turned.sum(dim=(2, 3)) == pytest.approx(1.0, abs=2e-3)
    torch.testing.assert_close(turned, round_one, rtol=0, atol=0.01 * float(round_one.max()))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.3, 1.0, 2.5])
def test_turning_turns_moments_and_places(angle, mirrored):
    image = gaussian((5.0, 2.5), (4.0, 2.0), size=97)
    x, y, xx, yy, xy = moments(placed(image, 97, angle=angle, mirrored=mirrored)[0, 0])
    cos, sin, sign = math.cos(angle), math.sin(angle), -1 if mirrored else 1
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([sign, 1])
    np.testing.assert_allclose((x, y), turn @ [4.0, 2.0], atol=0.005)
    expected = turn @ np.diag([25.0, 6.25]) @ turn.T
    np.testing.assert_allclose([xx, yy, xy], expected[[0, 1, 0], [0, 1, 1]], atol=0.05)


def test_turning_is_that_of_scipy():
    image = gaussian((6.0, 2.5), (3.0, -4.0))
    ours = placed(image, angle=math.radians(35))[0, 0].numpy()
    theirs = ndimage.rotate(image[0, 0].numpy(), -35, reshape=False, order=3)
    np.testing.assert_allclose(ours, theirs, atol=0.01 * theirs.max())


@pytest.mark.parametrize("scale", [0.8, 0.9, 1.1, 1.25])
def test_another_size_keeps_the_surface_brightness(scale):
    image = gaussian((4.0, 3.0))
    larger = placed(image, scale=scale)
    assert float(larger.max()) == pytest.approx(float(image.max()), rel=1e-3)
    assert float(larger[0, 0].sum()) == pytest.approx(scale**2, rel=5e-3)
    np.testing.assert_allclose(moments(larger[0, 0])[2:4], (16 * scale**2, 9 * scale**2), rtol=0.02)


def test_a_window_holds_the_same_pixels_moved_by_whole_ones():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for shift in ((0, 0), (3, -2), (-8, 8)):
        found = placed(image, size=48, shift=shift)
        top, left = 8 - shift[1], 8 - shift[0]
        torch.testing.assert_close(found, image[..., top : top + 48, left : left + 48], rtol=0, atol=1e-4)
    turned = placed(image, size=48, angle=math.pi / 2)
    torch.testing.assert_close(turned, image[..., 8:56, 8:56].rot90(-1, (2, 3)), rtol=0, atol=1e-3)
    mirror = placed(image, size=48, mirrored=True)
    torch.testing.assert_close(mirror, image[..., 8:56, 8:56].flip(3), rtol=0, atol=1e-4)


def test_a_window_beyond_the_edge_goes_on_as_a_mirror():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = placed(image, size=20)
    torch.testing.assert_close(found[..., :2, 2:18], image[..., 1:3, :].flip(2), rtol=0, atol=1e-4)


def test_seeing_adds_second_moments_in_each_band_by_itself():
    image, sigma = gaussian((3.0, 2.0)), torch.tensor([[0.4, 1.0, 3.0]])
    blurred = observed.blurred(image, sigma)
    for band, s in enumerate(sigma[0].tolist()):
        assert float(blurred[0, band].sum()) == pytest.approx(1.0, abs=1e-5)
        np.testing.assert_allclose(moments(blurred[0, band])[2:4], (9 + s**2, 4 + s**2), atol=5e-3)
    torch.testing.assert_close(observed.blurred(image, 0 * sigma), image)


@pytest.mark.parametrize("size", [16, 17])
def test_blurring_folds_with_the_gaussian_of_a_grid(size):
    image = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([[0.5, 1.0, 1.5], [1.2, 0.7, 0.0]])
    ours = observed.blurred(image, sigma)
    for i, band in np.ndindex(2, 3):
        kernel = special.ive(np.abs(np.arange(-15, 16)), float(sigma[i, band]) ** 2)  # e^-t I_n(t)
        theirs = image[i, band].double().numpy()
        for axis in (0, 1):
            theirs = ndimage.convolve1d(theirs, kernel, axis, mode="wrap")
        np.testing.assert_allclose(ours[i, band], theirs, atol=1e-6)


def test_what_is_added_makes_the_sum_of_squares():
    own, wanted = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 5.0, 4.0])
    torch.testing.assert_close(observed.added(own, wanted), torch.tensor([3**0.5, 4.0, 0.0]))


def test_noise_is_measured_under_a_galaxy_and_made_what_is_asked():
    g = torch.Generator().manual_seed(1)
    sigma = torch.tensor([0.004, 0.008, 0.02])
    image = gaussian((3.0, 3.0), flux=20.0, size=96) + sigma[:, None, None] * torch.randn(8, 3, 96, 96, generator=g)
    own = observed.pixel_noise(image)
    np.testing.assert_allclose(own.mean(0), sigma, rtol=0.08)
    wanted = torch.tensor([0.012, 0.012, 0.012]).expand(8, 3)
    less_deep = image + observed.added(own, wanted)[..., None, None] * torch.randn(image.shape, generator=g)
    corner = less_deep[..., :30, :30].std((0, 2, 3))
    np.testing.assert_allclose(corner, (0.012, 0.012, 0.02), rtol=0.05)  # the last was less deep before


def test_colours_are_those_of_the_tokens():
    assert (rgb.GAINS, rgb.OFFSET, rgb.SOFTENING) == (images.GAINS, images.OFFSET, images.SOFTENING)
    flux = np.random.default_rng(0).normal(0.01, 0.1, (4, 3, 8, 8)).astype("f4")
    np.testing.assert_allclose(rgb.arcsinh_rgb(torch.from_numpy(flux)), images.arcsinh_rgb(flux), atol=1e-6)
    assert not rgb.arcsinh_rgb(torch.full((1, 3, 2, 2), -1.0)).any()  # no light, no division by 0
