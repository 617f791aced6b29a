"""Cross-match of one million with five million galaxies at 1", in turns with three others that must say the same.

They are a bare DuckDB join of pixels (HEALPix with their neighbours) and unit vectors that were computed before the
clock starts; astropy; and LSDB, of which only the match is timed, not how its catalogues and margins come to be.
Medians of some rounds; on a busy machine CPU time says more than the clock.

Run: ``PYTHONPATH=workflow python tests/bench/bench_crossmatch.py [left] [right] [--threads 1] [--rounds 3]
[--sky clumps|uniform]``, numbers of galaxies
"""

import argparse
import resource
import time

import numpy as np

from skyloom.catalog.crossmatch import crossmatch

RADIUS = 1.0  # arcsec
ORDER = 16  # of the pixels of the bare join: 3.2" wide
BARE = """
    SELECT "left", arg_min("right", chord2) AS "right", min(chord2) AS chord2 FROM (
        SELECT l.row AS "left", r.row AS "right",
            (l.x - r.x) * (l.x - r.x) + (l.y - r.y) * (l.y - r.y) + (l.z - r.z) * (l.z - r.z) AS chord2
        FROM l JOIN r USING (pixel) WHERE chord2 <= $limit
    ) GROUP BY "left"
"""


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
    return ra, dec, *_scattered(ra, dec, rng)


def uniform(n: int, seed: int = 7) -> tuple[np.ndarray, ...]:
    """The same, all of them anywhere on the sky."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    return ra, dec, *_scattered(ra, dec, rng)


def _scattered(ra: np.ndarray, dec: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same galaxies 0.3" off along each axis, in another order."""
    n = len(ra)
    scatter = rng.normal(0, 0.3 / 3600, (2, n))
    other_dec = np.clip(dec + scatter[0], -90, 90)
    other_ra = (ra + scatter[1] / np.cos(np.radians(other_dec))) % 360
    shuffled = rng.permutation(n)
    return other_ra[shuffled], other_dec[shuffled]


def ours(left, right, threads: int):
    """What is timed of Skyloom; returns rows of both, and separations."""

    def match():
        found = crossmatch(*left, *right, RADIUS, threads=threads)
        return tuple(found[name].to_numpy() for name in ("left", "right", "separation_arcsec"))

    return match


def bare(left, right, threads: int):
    """Of the bare join."""
    import duckdb
    import pyarrow as pa
    from astropy import units as u
    from astropy_healpix import HEALPix

    grid = HEALPix(nside=2**ORDER, order="nested")
    pixel, other = (grid.lonlat_to_healpix(ra * u.deg, dec * u.deg) for ra, dec in (left, right))
    pixels = np.concatenate([pixel[None], grid.neighbours(pixel)]).T.ravel()
    there = pixels >= 0  # at twelve corners a pixel has seven neighbours
    connection = duckdb.connect(config={"threads": threads})
    for name, pixel, row, degrees in (
        ("l", pixels[there], np.repeat(np.arange(len(left[0])), 9)[there], left),
        ("r", other, np.arange(len(other)), right),
    ):
        ra, dec = np.radians(degrees)
        vector = {"x": np.cos(dec) * np.cos(ra), "y": np.cos(dec) * np.sin(ra), "z": np.sin(dec)}
        connection.register(name, pa.table({"pixel": pixel, "row": row, **{k: x[row] for k, x in vector.items()}}))
    limit = (2 * np.sin(np.radians(RADIUS / 3600) / 2)) ** 2

    def match():
        found = connection.execute(BARE, {"limit": limit}).fetchnumpy()
        return found["left"], found["right"], np.degrees(2 * np.arcsin(np.sqrt(found["chord2"]) / 2)) * 3600

    return match


def astropy(left, right, threads: int):
    """Of astropy, which has one thread."""
    from astropy.coordinates import SkyCoord

    def match():
        one, two = SkyCoord(*left, unit="deg"), SkyCoord(*right, unit="deg")
        index, separation, _ = one.match_to_catalog_sky(two)
        within = np.flatnonzero(separation.arcsec <= RADIUS)
        return within, index[within], separation.arcsec[within]

    return match


def lsdb(left, right, threads: int):
    """Of LSDB, with its own algorithm."""
    import dask
    import lsdb
    import pandas as pd

    catalogs = [
        lsdb.from_dataframe(
            pd.DataFrame({"ra": ra, "dec": dec, "row": np.arange(len(ra))}),
            partition_rows=500_000,
            margin_threshold=2 * RADIUS,
        )
        for ra, dec in (left, right)
    ]
    matched = catalogs[0].crossmatch(catalogs[1], radius_arcsec=RADIUS, suffixes=("_left", "_right"))

    def match():
        with dask.config.set(num_workers=threads):
            found = matched.compute(progress_bar=False)
        return tuple(found[name].to_numpy() for name in ("row_left", "row_right", "_dist_arcsec"))

    return match


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("left", type=float, nargs="?", default=1e6, help="galaxies of the left catalogue")
    parser.add_argument("right", type=float, nargs="?", default=5e6, help="of the right one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sky", choices=["clumps", "uniform"], default="clumps")
    config = parser.parse_args()
    n, m = int(config.left), int(config.right)
    ra, dec, *right = (catalogues if config.sky == "clumps" else uniform)(max(n, m))
    left, right = (ra[:n], dec[:n]), (right[0][:m], right[1][:m])

    few = tuple(degrees[:1000] for degrees in left)
    crossmatch(*few, *right, RADIUS)  # imports and caches are not what is timed
    matches = {way.__name__: way(left, right, config.threads) for way in (ours, bare, astropy, lsdb)}
    taken, expected = {name: [] for name in matches}, None
    for _ in range(config.rounds):
        for name, match in matches.items():
            start, cpu = time.perf_counter(), time.process_time()
            found = match()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - start))
            order = np.argsort(found[0])
            found = [np.asarray(values)[order] for values in found]
            expected = expected or found
            assert np.array_equal(found[0], expected[0]), f"{name}: different galaxies have a match"
            assert np.array_equal(found[1], expected[1]), f"{name}: different matches"
            assert np.abs(found[2] - expected[2]).max() < 1e-6, f"{name}: other separations"
    print(
        f"{n} x {m} ({config.sky}), {RADIUS} arcsec, {config.threads} threads: {len(expected[0])} matches, as all say"
    )
    reference = np.median(taken["bare"], axis=0)
    for name, times in taken.items():
        (cpu, wall), (of_cpu, of_wall) = np.median(times, axis=0), np.median(times, axis=0) / reference
        print(f"{name:8} {cpu:6.2f} s of CPU, {wall:6.2f} s; {of_cpu:.2f} and {of_wall:.2f} times the bare join")
    print(f"memory of the whole process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
