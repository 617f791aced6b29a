"""A tiny survey on disk: two coadds, two cutout files, two HSC files, and galaxies.parquet."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from skyloom.formats import galaxiesml
from skyloom.formats.desi import ARMS, Coadd, arm_wavelength, write_coadd
from skyloom.formats.legacy import write_cutouts

PER_FILE = 6


def make_coadd(targetid: np.ndarray, rng: np.random.Generator) -> Coadd:
    """Noise spectra with ivar 4, nothing masked."""
    n = len(targetid)
    fibermap = Table({"TARGETID": np.asarray(targetid, "i8"), "TARGET_RA": np.full(n, 10.0)})
    fibermap["TARGET_DEC"] = np.full(n, 20.0)
    fibermap["COADD_FIBERSTATUS"] = np.zeros(n, "i4")
    fibermap["OBJTYPE"] = np.full(n, "TGT")
    shape = {arm: (n, npix) for arm, (_, npix) in ARMS.items()}
    return Coadd(
        fibermap=fibermap,
        wavelength={arm: arm_wavelength(arm) for arm in ARMS},
        flux={arm: rng.normal(3, 0.5, s).astype("f4") for arm, s in shape.items()},
        ivar={arm: np.full(s, 4, "f4") for arm, s in shape.items()},
        mask={arm: np.zeros(s, "i4") for arm, s in shape.items()},
    )


@dataclass
class Survey:
    """Paths and the arrays behind them; galaxy i of file f has targetid 1000 * (f + 1) + i, shard f."""

    folder: Path
    galaxies: Path
    coadds: list[Path]
    cutouts: list[Path]
    spectra: list[Coadd]
    images: list[np.ndarray]
    hsc_files: list[Path]
    hsc_images: list[np.ndarray]  # nanomaggy

    def rewrite(self) -> None:
        """Write spectra and images again after a test has changed them."""
        for path, coadd in zip(self.coadds, self.spectra, strict=True):
            write_coadd(path, coadd)
        for path, images in zip(self.cutouts, self.images, strict=True):
            n = len(images)
            columns = {name: np.zeros(n) for name in ("ra", "dec", "release", "brickid", "objid")}
            write_cutouts(path, images, columns | {"flux": np.zeros((n, 3))})
        for path, images in zip(self.hsc_files, self.hsc_images, strict=True):
            columns = {name: np.zeros(len(images)) for name in galaxiesml.REQUIRED}
            galaxiesml.write_galaxiesml(path, images * galaxiesml.COUNTS_PER_NANOMAGGY, columns)

    def catalogue(self, targetid, spectrum_file, spectrum_row, image_file, image_row, shard) -> None:
        """Write galaxies.parquet with these columns; the HSC image of a galaxy has its image's row in `hsc-*`."""
        columns = {
            "targetid": pa.array(targetid, pa.int64()),
            "spectrum_file": pa.array(spectrum_file, pa.string()),
            "spectrum_row": pa.array(spectrum_row, pa.int32()),
            "image_file": pa.array(image_file, pa.string()),
            "image_row": pa.array(image_row, pa.int32()),
            "hsc_file": pa.array([name.replace("cutouts", "hsc") for name in image_file], pa.string()),
            "hsc_row": pa.array(image_row, pa.int32()),
            "shard": pa.array(shard, pa.int32()),
        }
        pq.write_table(pa.table(columns), self.galaxies)


@pytest.fixture
def survey(tmp_path) -> Survey:
    rng = np.random.default_rng(5)
    coadds = [tmp_path / f"coadd-{f}.fits" for f in range(2)]
    cutouts = [tmp_path / f"cutouts-{f}.h5" for f in range(2)]
    targetid = [1000 * (f + 1) + np.arange(PER_FILE) for f in range(2)]
    spectra = [make_coadd(t, rng) for t in targetid]
    images = [rng.normal(0.05, 0.02, (PER_FILE, 3, 152, 152)).astype("f4") for _ in range(2)]
    hsc_files = [tmp_path / f"hsc-{f}.h5" for f in range(2)]
    hsc_images = [rng.normal(0.01, 0.001, (PER_FILE, 5, 64, 64)).astype("f4") for _ in range(2)]
    made = Survey(tmp_path, tmp_path / "galaxies.parquet", coadds, cutouts, spectra, images, hsc_files, hsc_images)
    made.rewrite()
    shuffled = rng.permutation(2 * PER_FILE)  # the catalogue is not in the order of the files
    file, row = np.divmod(shuffled, PER_FILE)
    made.catalogue(
        np.concatenate(targetid)[shuffled],
        [coadds[f].name for f in file],
        row,
        [cutouts[f].name for f in file],
        row,
        file,
    )
    return made
