"""A mock survey under the addresses of the archives: DESI's data releases, the Legacy Surveys, PROVABGS, GalaxiesML."""

import hashlib
import io
import re
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from skyloom.catalog.crossmatch import crossmatch, pairs
from skyloom.formats import desi, galaxiesml, legacy, provabgs
from skyloom.formats.bricks import brickname, centre
from skyloom.formats.provabgs_model import BASIS_FILES
from tests.brick_images import brick_header, write_brick

PRODUCTIONS = {"edr": ("edr/spectro/redux/fuji", "zcatalog/zall-pix-fuji.fits", "zcatalog/redux_fuji_zcatalog")}
PRODUCTIONS["dr1"] = ("dr1/spectro/redux/iron", "zcatalog/v1/zall-pix-iron.fits", "zcatalog/v1/redux_iron_zcatalog_v1")
PROVABGS = "BGS_ANY_full.provabgs.{}.hdf5"
VIEWER = "/viewer/fits-cutout"
SIDE = 3600  # pixels of a brick


class Sky:
    """Images of the sky of a mock survey: the one whose centre is nearest, black where there is none.

    The centre of an image is where DESI's catalogue has its target, as that of a real cutout. `eastward` degrees are
    added to the right ascensions that the mock has.
    """

    def __init__(self, raw: Path, eastward: float = 0.0):
        self.tables = [(path, legacy.read_cutout_catalog(path)) for path in sorted(raw.rglob("images_*.h5"))]
        targets = desi.read_zcatalog(raw / "zcatalog/zall-pix-mock.fits", ["TARGET_RA", "TARGET_DEC"])
        ra, dec = (np.asarray(targets[f"TARGET_{axis}"]) for axis in ("RA", "DEC"))
        for _, table in self.tables:
            nearest = crossmatch(table["ra"], table["dec"], ra, dec, 2.0)
            own, target = nearest["left"], nearest["right"]
            table["ra"][own], table["dec"][own] = ra[target], dec[target]
            table["ra"] += eastward
        self.bricks: dict[tuple[str, str], bytes | None] = {}

    def alone(self, ra, dec, arcsec: float) -> np.ndarray:
        """(n,) bool: which galaxies have no other image's centre so near."""
        centres = np.concatenate([np.stack([table["ra"], table["dec"]], axis=1) for _, table in self.tables])
        centres = np.unique(centres, axis=0)
        found = pairs(ra, dec, *centres.T, arcsec)
        return np.bincount(found["left"], minlength=len(ra)) == 1

    def __call__(self, path: str, query: str) -> bytes | None:
        """The answer to a request for a cutout, or for the image of a brick."""
        if path == VIEWER:
            return self.cutout({key: value[0] for key, value in parse_qs(query).items()})
        found = re.fullmatch(r"/(dr9|dr10)/south/coadd/\d{3}/(\w+)/legacysurvey-\2-image-([grz])\.fits\.fz", path)
        return self.brick(found[2], found[3]) if found else None

    def cutout(self, given: dict[str, str]) -> bytes:
        """What the viewer makes."""
        assert (given["layer"], given["bands"], given["size"], given["pixscale"]) == ("ls-dr9", "grz", "152", "0.262")
        ra, dec = float(given["ra"]), float(given["dec"])
        image, nearest = np.zeros((3, 152, 152), "f4"), 2 / 3600
        for file, table in self.tables:
            apart = np.hypot((table["ra"] - ra) * np.cos(np.radians(dec)), table["dec"] - dec)
            if apart.min() < nearest:
                image, nearest = legacy.read_cutouts(file, [int(np.argmin(apart))])[0], apart.min()
        body = io.BytesIO()
        fits.PrimaryHDU(image).writeto(body)
        return body.getvalue()

    def brick(self, name: str, band: str) -> bytes | None:
        """The image of a brick with the cutouts of the galaxies in it, each at the whole pixel that is nearest."""
        if (name, band) not in self.bricks:
            self.bricks[name, band] = self._brick(name, band)
        return self.bricks[name, band]

    def _brick(self, name: str, band: str) -> bytes | None:
        image, middle = np.zeros((SIDE, SIDE), "f4"), None
        for file, table in self.tables:
            inside = np.flatnonzero(brickname(table["ra"], table["dec"]) == name)
            for row in inside:
                ra, dec = table["ra"][[row]], table["dec"][[row]]
                middle = [float(values[0]) for values in centre(ra, dec)]
                x, y = WCS(brick_header(*middle, SIDE)).wcs_world2pix(ra, dec, 0)
                x, y = (int(np.floor(values[0] - 75.5 + 0.5)) for values in (x, y))
                image[y : y + 152, x : x + 152] = legacy.read_cutouts(file, [row])[0, "grz".index(band)]
        if middle is None:
            return None
        body = io.BytesIO()
        write_brick(body, image, *middle)
        return body.getvalue()


def of_desi(raw: Path, release: str, program: str, folder: Path, eastward: float = 0.0) -> dict[str, bytes | Path]:
    """Coadds and redshift catalogue of a mock survey as a data release has them, with their checksums.

    Parameters
    ----------
    program : what they are called there, as main/bright; what the mock calls sv3/bright
    folder : for the catalogue
    """
    redux, catalogue, sums = PRODUCTIONS[release]
    survey, name = program.split("/")
    files: dict[str, bytes | Path] = {}
    for path in raw.rglob("coadd-*.fits"):
        pixel = path.stem.rpartition("-")[2]
        below = f"healpix/{survey}/{name}/{int(pixel) // 100}/{pixel}"
        files[f"/{redux}/{below}/coadd-{survey}-{name}-{pixel}.fits"] = path
        sums_of_pixel = f"{redux.partition('spectro/')[2]}/{below}".replace("/", "_")
        line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  coadd-{survey}-{name}-{pixel}.fits\n"
        files[f"/{redux}/{below}/{sums_of_pixel}.sha256sum"] = line.encode()
    table = desi.read_zcatalog(raw / "zcatalog/zall-pix-mock.fits")
    table["SURVEY"], table["PROGRAM"] = survey, name
    table["TARGET_RA"] += eastward
    path = folder / f"zall-{release}.fits"
    desi.write_zcatalog(path, table)
    files[f"/{redux}/{catalogue}"] = path
    line = f"{hashlib.sha256(path.read_bytes()).hexdigest()} *{catalogue.rpartition('/')[2]}\n"
    files[f"/{redux}/{sums}.sha256sum"] = line.encode()
    return files


def of_provabgs(raw: Path, folder: Path) -> dict[str, Path]:
    """The property catalogue, whose best fits are of constant star formation at solar metallicity."""
    table = provabgs.read_properties(raw / "properties" / PROVABGS.format("mock"))
    table["PROVABGS_THETA_BF"] = np.tile([10.0, 0, 0, 1.0, 0, 0, 5.0, 0.0134, 0, 0, 0, 0, 0], (len(table), 1))
    provabgs.write_properties(folder / "fitted.hdf5", table)
    return {f"/edr/vac/edr/provabgs/v1.0/{PROVABGS.format('sv3.v0')}": folder / "fitted.hdf5"}


def of_galaxiesml(raw: Path, folder: Path, size: int, eastward: float = 0.0) -> dict[str, Path]:
    """The HSC images of a mock survey, parted in the files of GalaxiesML's record."""
    paths, files = sorted(raw.rglob("5x*.hdf5")), {}
    for number, split in enumerate(("training", "validation", "testing")):
        name = f"5x{size}x{size}_{split}_with_morphology.hdf5"
        with galaxiesml.writer(folder / name, size) as file:
            for path in paths[number::3]:
                table = galaxiesml.read_catalog(path)
                table["ra"] += eastward
                columns = {column: np.asarray(table[column]) for column in galaxiesml.REQUIRED}
                file.append(galaxiesml.read_images(path, range(len(table))), columns)
        files[f"/records/11117528/files/{name}"] = folder / name
    return files


def bases(folder: Path) -> str:
    """Bases of PROVABGS, the third of star formation and the first of metallicity constant."""
    folder.mkdir()
    np.savetxt(folder / BASIS_FILES["sfh"], np.ones((4, 50)))
    np.savetxt(folder / BASIS_FILES["zh"], np.ones((2, 50)))
    np.savetxt(folder / BASIS_FILES["time"], np.linspace(13.6, 0.07, 50))
    return str(folder)


def addresses(url: str) -> dict[str, str]:
    """The server's address in place of the archives'."""
    given = {"desi": url, "legacy": f"{url}/viewer", "bricks": url}
    return given | {"galaxiesml": f"{url}/records/11117528/files"}
