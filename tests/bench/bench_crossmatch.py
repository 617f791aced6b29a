"""Cross-match of one million with one million galaxies at 1", timed against astropy, which it must equal.

Run: ``PYTHONPATH=workflow python tests/bench/bench_crossmatch.py [left] [right] [--threads 1]``, numbers of galaxies
"""

import argparse
import resource
import time

import numpy as np
from astropy.coordinates import SkyCoord

from skyloom.catalog.crossmatch import crossmatch

RADIUS = 1.0  # arcsec


def catalogues(n: int, seed: int = 7) -> tuple[np.ndarray, ...]:
    """Positions in degrees of two catalogues, half over the whole sky, half in clumps, some at poles and wrap."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    centre_ra, centre_dec = (
        np.append(rng.uniform(0, 360, 97), [0, 0, 0]),
        np.append(rng.uniform(-80, 80, 97), [90, -90, 0]),
    )
    clump = rng.integers(100, size=n // 2)
    dec[: n // 2] = centre_dec[clump] + rng.normal(0, 0.05, n // 2)
    over = np.abs(dec) > 90
    dec[over] = np.sign(dec[over]) * 180 - dec[over]
    width = np.minimum(0.05 / np.cos(np.radians(dec[: n // 2])), 180)
    ra[: n // 2] = (centre_ra[clump] + width * rng.normal(size=n // 2)) % 360
    scatter = rng.normal(0, 0.3 / 3600, (2, n))
    other_dec = np.clip(dec + scatter[0], -90, 90)
    other_ra = (ra + scatter[1] / np.cos(np.radians(other_dec))) % 360
    shuffled = rng.permutation(n)
    return ra, dec, other_ra[shuffled], other_dec[shuffled]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("left", type=float, nargs="?", default=1e6, help="galaxies of the left catalogue")
    parser.add_argument("right", type=float, nargs="?", help="of the right one (default: as many)")
    parser.add_argument("--threads", type=int, default=1)
    config = parser.parse_args()
    n, m = int(config.left), int(config.right or config.left)
    left_ra, left_dec, right_ra, right_dec = catalogues(max(n, m))
    left_ra, left_dec, right_ra, right_dec = left_ra[:n], left_dec[:n], right_ra[:m], right_dec[:m]
    crossmatch(left_ra[:1000], left_dec[:1000], right_ra, right_dec, RADIUS)  # imports and caches are not what is timed

    start, cpu = time.perf_counter(), time.process_time()
    ours = crossmatch(left_ra, left_dec, right_ra, right_dec, RADIUS, threads=config.threads)
    our_time, our_cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    start, cpu = time.perf_counter(), time.process_time()
    left, right = SkyCoord(left_ra, left_dec, unit="deg"), SkyCoord(right_ra, right_dec, unit="deg")
    index, separation, _ = left.match_to_catalog_sky(right)
    their_time, their_cpu = time.perf_counter() - start, time.process_time() - cpu

    within = np.flatnonzero(separation.arcsec <= RADIUS)
    assert np.array_equal(ours["left"], within), "different galaxies have a match"
    assert np.array_equal(ours["right"], index[within]), "different matches"
    worst = np.abs(ours["separation_arcsec"] - separation.arcsec[within]).max()
    assert worst < 1e-8, f"separations differ by {worst} arcsec"
    print(f"{n} x {m} at {RADIUS} arcsec: {len(ours)} matches, as astropy; separations differ by {worst:.1e} arcsec")
    print(f"skyloom {our_time:.2f} s ({our_cpu:.2f} s of CPU, {config.threads} threads of DuckDB), peak {peak:.1f} GiB")
    print(f"astropy {their_time:.2f} s ({their_cpu:.2f} s of CPU), ratio {their_time / our_time:.1f}")


if __name__ == "__main__":
    main()
