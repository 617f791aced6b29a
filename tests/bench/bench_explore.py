"""The page with a million made-up galaxies, thumbnails withheld: how soon it stands, how it moves, what it holds.

python tests/bench/bench_explore.py [galaxies] [width of an embedding]
python tests/bench/bench_explore.py --folder [galaxies]   # the page as a folder with thumbnails, from the disk

Times are of this machine, whose load is printed; it needs a Chromium, and no graphics card.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.analysis.common.embeddings import write_embedding
from skyloom.analysis.common.tables import write_parquet
from skyloom.explore.page.build import build
from skyloom.explore.page.sources import Sources
from skyloom.tokens.store import write_shard
from tests.browser import browser

SECONDS = 6.0  # that the map is moved
MOVE = """
(async () => {
  const plane = skyloom.plane, took = [], waits = [], view = { ...plane.view };
  const start = performance.now();
  let last = start, now = start;
  while (now - start < %f) {
    const turn = (now - start) / 1500;
    plane.view = { x: view.x + 0.1 * Math.sin(turn), y: view.y + 0.1 * Math.cos(turn), zoom: view.zoom * %f };
    const before = performance.now();
    plane.drawNow();
    took.push(performance.now() - before);
    await new Promise((resolve) => requestAnimationFrame(resolve));
    now = performance.now();
    waits.push(now - last);
    last = now;
  }
  plane.view = view;
  plane.draw();
  return { took, waits };
})()
"""


def survey(root: Path, count: int, width: int) -> None:
    """Results of a survey of `count` galaxies: clumps on a map, an embedding, a catalogue."""
    rng = np.random.default_rng(1)
    targetid = np.sort(rng.choice(2**52, count, replace=False))
    for folder in ("catalog", "embeddings", "analysis"):
        (root / folder).mkdir(parents=True)
    clump = rng.integers(0, 40, count)
    centres, sizes = rng.normal(size=(40, 2)), rng.uniform(0.03, 0.25, 40)
    place = (centres[clump] + sizes[clump, None] * rng.normal(size=(count, 2))).astype("f4")
    columns = {"targetid": targetid, "ra": rng.uniform(0, 360, count), "dec": rng.uniform(-90, 90, count)}
    columns |= {
        "z": np.abs(place[:, 0]) + 0.1 * rng.random(count),
        "mag_r": 20 + place[:, 1],
        "log_mstar": 10 + clump / 20,
    }
    pq.write_table(pa.table(columns), root / "catalog/galaxies.parquet")
    flat = {"targetid": targetid, "split": "test", "x": place[:, 0], "y": place[:, 1]}
    points = pandas.DataFrame({"survey": "many", "model": "toy", "modality": "spectrum", **flat})
    write_parquet(root / "analysis/umap.parquet", points)
    values = rng.normal(size=(count, width)).astype("f4")
    write_embedding(root / "embeddings/toy-spectrum.parquet", targetid, ["test"] * count, values)


def pictures(root: Path, count: int, side: int = 48) -> None:
    """Image tokens of these galaxies: blobs on noise."""
    rng, at = np.random.default_rng(2), np.arange(side) - side / 2
    radius = np.hypot(at[:, None], at[None])
    targetid = pq.read_table(root / "catalog/galaxies.parquet")["targetid"].to_numpy()
    for shard, rows in enumerate(np.array_split(np.arange(count), max(1, count // 5000))):
        width = rng.uniform(2, 6, (len(rows), 3, 1, 1)).astype("f4")
        rgb = np.exp(-radius.astype("f4") / width) + rng.normal(0.05, 0.03, (len(rows), 3, side, side)).astype("f4")
        write_shard(root / f"tokens/image/shard-{shard:04d}.h5", targetid[rows], {"rgb": rgb.clip(0, 1)})


def from_disk(count: int) -> None:
    """Make the folder of so many galaxies, and look at it in a browser by its file's address."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "many")
        survey(root, count, 32)
        pictures(root, count)
        start, cores = time.monotonic(), time.process_time()
        build(Sources.of_folder(root), root / "explore/index.html")
        files = [path for path in (root / "explore").rglob("*") if path.is_file()]
        took, cores = time.monotonic() - start, time.process_time() - cores
        size = sum(path.stat().st_size for path in files) / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"folder of {count} galaxies: {took:.0f} s, {cores:.0f} s of a core, {peak:.2f} GiB of memory")
        print(f"{size:.0f} MiB in {len(files)} files")
        with browser() as page:
            page.size(1500, 950)
            for words in ("first", "second"):
                start = time.monotonic()
                page.open((root / "explore/index.html").as_uri())
                print(f"the page stands after {time.monotonic() - start:.1f} s ({words} time)")
            moved(page, 1.0, "panning, all in view")
            moved(page, 8.0, "panning, zoomed in eight times")
            limited(page)
            print(f"page: {renderer(os.getpgid(page._process.pid)):.2f} GiB; load {os.getloadavg()[0]:.1f}")
            assert page.said == [], page.said


def resident(process: int) -> float:
    """GiB that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 2**20


def renderer(profile_of: int) -> float:
    """GiB of the largest process of a browser that draws a page."""
    found = [0.0]
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"--type=renderer" in status.read_bytes() and os.getpgid(int(status.parent.name)) == profile_of:
                found.append(resident(int(status.parent.name)))
        except (OSError, StopIteration):
            continue
    return max(found)


def moved(page, zoom: float, words: str) -> None:
    """Move the map, and say how it went."""
    found = page.run(MOVE % (1000 * SECONDS, zoom))
    took, waits = sorted(found["took"]), sorted(found["waits"])
    late = waits[int(0.95 * (len(waits) - 1))]
    print(
        f"{words}: {1000 * len(waits) / sum(waits):.0f} frames/s, 95 % within {late:.0f} ms;"
        f" drawing itself {statistics.median(took):.1f} ms (median), fastest {took[0]:.1f} ms"
    )


def limited(page) -> None:
    """Move the end of a range, and draw around half of the map."""
    page.run("document.getElementById('limit-add').click()")
    page.until("document.querySelector('#limits input') !== null")
    page.run("window.slider = document.querySelector('#limits input'), slider.value = 300, true")
    took = "(() => { const t = performance.now(); %s; return performance.now() - t; })()"
    seconds = [page.run(took % "slider.dispatchEvent(new Event('input'))") for _ in range(5)]
    print(f"a range moved: {statistics.median(seconds):.0f} ms until the next frame is drawn")
    page.run("document.getElementById('clear').click()")


def main() -> None:
    """Measure."""
    if sys.argv[1:2] == ["--folder"]:
        return from_disk(int(sys.argv[2]) if len(sys.argv) > 2 else 50_000)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    width = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    print(f"{count} galaxies, embeddings of {width}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "many")
        survey(root, count, width)
        start = time.monotonic()
        command = [sys.executable, "-m", "skyloom.explore", str(root), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            address = server.stdout.readline().split()[0]
            print(f"the server stands after {time.monotonic() - start:.1f} s, {resident(server.pid):.2f} GiB")
            with browser() as page:
                page.size(1500, 950)
                for words in ("first", "second"):
                    start = time.monotonic()
                    page.open(address)
                    print(f"the page stands after {time.monotonic() - start:.1f} s ({words} time)")
                loaded = "performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)"
                print(f"{page.run(loaded) / 2**20:.1f} MiB fetched")
                moved(page, 1.0, "panning, all in view")
                moved(page, 8.0, "panning, zoomed in eight times")
                limited(page)
                group = os.getpgid(page._process.pid)
                heap = page.run("performance.memory.usedJSHeapSize") / 2**20
                print(f"page: {renderer(group):.2f} GiB, heap of its scripts {heap:.0f} MiB")
                assert page.said == [], page.said
            base = address.rpartition("/")[0]
            seconds = []
            for row in range(0, count, count // 5):
                start = time.monotonic()
                url = f"{base}/api/neighbours?row={row}&k=10&pairing=toy/spectrum-spectrum"
                urllib.request.urlopen(url).read()
                seconds.append(time.monotonic() - start)
            print(f"neighbours by the exact scan: {statistics.median(seconds):.2f} s (an index: bench_search.py)")
            print(f"the server: {resident(server.pid):.2f} GiB; load {os.getloadavg()[0]:.1f}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
