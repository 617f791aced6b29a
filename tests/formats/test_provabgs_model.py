"""Properties from PROVABGS's parameters: closed forms and quadrature with made-up bases of histories."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.cosmology import Planck13
from astropy.table import Table
from scipy.integrate import quad
from scipy.interpolate import InterpolatedUnivariateSpline

from skyloom.core.errors import BadInput
from skyloom.formats import provabgs
from skyloom.formats.provabgs_model import BASIS_FILES, EDGES, properties, read_basis, write_derived

TIME = np.linspace(13.6, 0.07, 50)  # as in the authors' file: Gyr of lookback, the oldest first
ONES, RAMP = np.ones(50), TIME / 10
RNG = np.random.default_rng(3)


@pytest.fixture
def folder(tmp_path):
    """Bases of constant, rising, falling and irregular star formation; of solar and rising metallicity."""
    bumps = RNG.uniform(0.5, 1, 50)
    sfh = {1: ONES, 2: RAMP, 0: 2 - RAMP, 3: bumps}  # row of the file: beta_1 is row 2, then 0, 1, 3
    np.savetxt(tmp_path / BASIS_FILES["sfh"], np.stack([sfh[row] for row in range(4)]))
    np.savetxt(tmp_path / BASIS_FILES["zh"], np.stack([ONES, 1.4 - RAMP]))
    np.savetxt(tmp_path / BASIS_FILES["time"], TIME)
    return tmp_path


def theta(**changes) -> np.ndarray:
    """(1, 13) parameters of constant star formation of 10^10 Msun at solar metallicity, but for `changes`."""
    names = ("mass", "b1", "b2", "b3", "b4", "burst", "since", "g1", "g2", "tau_bc", "tau_ism", "n", "fibre")
    values = dict.fromkeys(names, 0.0) | {"mass": 10.0, "b3": 1.0, "since": 5.0, "g1": 0.0134, "fibre": np.nan}
    return np.array([[(values | changes)[name] for name in names]])


def one(basis, z=0.1, **changes):
    return {name: values[0] for name, values in properties(theta(**changes), np.array([z]), basis).items()}


def test_constant_star_formation_has_closed_forms(folder):
    basis, age = read_basis(folder), Planck13.age(0.1).value
    found = one(basis)
    assert found["Z_MW"] == pytest.approx(0.0134, rel=1e-9)
    assert found["TAGE_MW"] == pytest.approx(age / 2, rel=1e-9)
    assert found["AVG_SFR"] == pytest.approx(10 / age, rel=1e-9)
    assert one(basis, mass=11.0)["AVG_SFR"] == pytest.approx(100 / age, rel=1e-9)
    assert one(basis, b3=7.0)["AVG_SFR"] == pytest.approx(10 / age, rel=1e-9)  # shapes, not amounts


def test_a_burst_takes_its_share_of_the_mass(folder):
    basis, age = read_basis(folder), Planck13.age(0.1).value
    young = one(basis, burst=0.3, since=0.5)
    assert young["AVG_SFR"] == pytest.approx(0.7 * 10 / age + 0.3 * 10, rel=1e-9)
    old = one(basis, burst=0.3, since=5.0)
    assert old["AVG_SFR"] == pytest.approx(0.7 * 10 / age, rel=1e-9)
    place = np.searchsorted(EDGES, 5.0)
    middle = (EDGES[place - 1] + EDGES[place]) / 2  # the authors give a burst the time of its bin
    assert old["TAGE_MW"] == pytest.approx(0.7 * age / 2 + 0.3 * middle, rel=1e-9)
    assert one(basis, burst=0.3, since=13.0) == one(basis)  # older than the universe was then


def test_any_mixture_agrees_with_quadrature(folder):
    basis, z = read_basis(folder), 0.35
    beta, gamma = dict(b1=0.2, b2=0.5, b3=0.1, b4=0.2), dict(g1=0.002, g2=0.01)
    age = Planck13.age(z).value
    sfh, zh = (np.loadtxt(folder / BASIS_FILES[name])[:, ::-1] for name in ("sfh", "zh"))
    rate = InterpolatedUnivariateSpline(TIME[::-1], 0.2 * sfh[2] + 0.5 * sfh[0] + 0.1 * sfh[1] + 0.2 * sfh[3], k=1)
    metal = InterpolatedUnivariateSpline(TIME[::-1], 0.002 * zh[0] + 0.01 * zh[1], k=1)

    def formed(a, b):
        knots = [a, *TIME[(TIME > a) & (TIME < b)][::-1], b]  # where the slope changes
        return sum(quad(rate, *ends)[0] for ends in zip(knots[:-1], knots[1:], strict=True))

    edges = np.append(EDGES[EDGES < age], age)
    middle = (edges[1:] + edges[:-1]) / 2
    mass = np.array([formed(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]) / formed(0, age)
    found = one(basis, z, **beta, **gamma)
    assert found["TAGE_MW"] == pytest.approx((mass * middle).sum(), rel=1e-6)
    assert found["Z_MW"] == pytest.approx((mass * metal(middle)).sum(), rel=1e-6)
    last = np.searchsorted(edges, 1.0) - 1  # the bin with 1 Gyr in it counts by its share
    share = mass[:last].sum() + mass[last] * (1 - edges[last]) / (edges[last + 1] - edges[last])
    assert found["AVG_SFR"] == pytest.approx(share * 10, rel=1e-6)


def test_metallicities_stay_within_the_isochrones(folder):
    basis = read_basis(folder)
    assert one(basis, g1=1.0)["Z_MW"] == pytest.approx(4.49043431e-2)
    assert one(basis, g1=0.0)["Z_MW"] == pytest.approx(4.49043431e-5)


def test_parameters_that_are_missing_give_nan_and_leave_others_alone(folder):
    many = np.concatenate([theta(), theta(b2=np.nan), theta(b3=0.0), theta(), theta(g1=0.02)])
    found = properties(many, np.array([0.1, 0.1, 0.1, np.nan, 0.1]), read_basis(folder))
    for name, values in found.items():
        assert np.isfinite(values).tolist() == [True, False, False, False, True], name
    assert found["Z_MW"][0] == pytest.approx(0.0134) and found["Z_MW"][4] == pytest.approx(0.02)


def published(path):
    table = Table({"TARGETID": np.array([7, 5]), "Z_HP": [0.1, 0.1], "PROVABGS_LOGMSTAR_BF": [10.0, 9.0]})
    for band in "GRZ":
        table[f"MAG_{band}"] = 18.0
    table["PROVABGS_THETA_BF"] = np.concatenate([theta(), theta(mass=9.0)])
    provabgs.write_properties(path, table)


def test_the_command_writes_a_companion_of_the_published_file(folder):
    published(folder / "published.hdf5")
    command = [sys.executable, "-m", "skyloom.formats.provabgs_model"]
    subprocess.run([*command, folder / "published.hdf5", folder, folder / "derived.hdf5"], check=True)
    table = provabgs.read_companion(folder / "derived.hdf5")
    assert table["TARGETID"].tolist() == [7, 5] and str(table["AVG_SFR"].unit) == "solMass / yr"
    assert table["AVG_SFR"][0] == pytest.approx(10 * table["AVG_SFR"][1])
    wrong = subprocess.run([*command, folder / "none.hdf5", folder, folder / "2.hdf5"], capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stderr.count("\n") == 1 and "none.hdf5: no such file" in wrong.stderr


@pytest.mark.parametrize("name", BASIS_FILES)
def test_a_basis_that_is_not_there_or_has_another_shape_is_named(folder, name):
    published(folder / "published.hdf5")
    path = folder / BASIS_FILES[name]
    np.savetxt(path, np.ones((3, 50)))
    with pytest.raises(BadInput, match=r"numbers, expected \d rows of"):
        write_derived(folder / "published.hdf5", folder, folder / "derived.hdf5")
    path.write_text("<html>")
    with pytest.raises(BadInput, match=f"{path.name}: expected a text file of numbers"):
        read_basis(folder)
    path.unlink()
    with pytest.raises(BadInput, match=f"{path.name}: expected a text file of numbers"):
        read_basis(folder)
    assert not (folder / "derived.hdf5").exists()
