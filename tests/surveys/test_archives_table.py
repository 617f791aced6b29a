"""resources/archives.csv: what the kinds of survey ask for is in it, and its settings are settings."""

import csv
import re

import pytest

from skyloom.settings.section import parse
from skyloom.surveys import desi
from skyloom.surveys.common import bricks, checksums, cutouts
from skyloom.surveys.common.archives import Addresses
from tests.paths import ROOT

with open(ROOT / "resources" / "archives.csv", newline="", encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))
BASE = Addresses().plain()
PIXEL = "spectra/healpix/main/dark/100/10016/coadd-main-dark-10016.fits"
PLACES = ("dr9/north/112/1126p372", "dr9/south/112/1126p222", "dr10/south/001/0014m852")
BRICKS = [name for place in PLACES for name in bricks.files(place)]


def pattern(text: str) -> str:
    """A regular expression: {a|b} is one of these, any other word in braces something without a slash."""
    parts = re.split(r"\{([^}]*)\}", text)
    words = [f"(?:{part})" if "|" in part else "[^/?&]+" for part in parts[1::2]]
    return "".join(a + b for a, b in zip(map(re.escape, parts[::2]), [*words, ""], strict=True))


def asked() -> list[str]:
    """Every kind of URL that a survey of kind `desi` asks for."""
    found = [cutouts.address(BASE["legacy"], layer, 10.0, -1.5) for layer in ("ls-dr9", "ls-dr10")]
    for release in desi.PRODUCTIONS:
        entry = {"kind": "desi", "release": release, "modalities": ["spectrum", "image", "hsc_image"]}
        given = parse(desi.DesiSettings, {**entry, "properties": "provabgs"}, "surveys.own")
        names = [*sum(desi.raw_files(given).values(), []), PIXEL, *BRICKS]
        found += [url for name in names if (url := desi.url(name, given.plain()))]
    sums = [where for url in found if (where := checksums.place(url, BASE)) and "/api/" not in where]
    assert len(sums) > 6
    tables = [bricks.table_of(name, BASE) for name in BRICKS]
    return sorted({*found, *sums, *tables})


@pytest.mark.parametrize("url", asked())
def test_what_is_asked_for_is_in_the_table(url):
    rows = [row for row in ROWS if row["setting"].startswith("surveys.*.addresses.")]
    found = []
    for row in rows:
        base = BASE[row["setting"].rpartition(".")[2]]
        if base and url.startswith(base) and re.fullmatch(pattern(row["file"]), url.removeprefix(f"{base}/")):
            found.append(row)
    assert len(found) == 1, url


def test_every_address_is_in_the_table_with_its_setting():
    named = {row["setting"].rpartition(".")[2] for row in ROWS if ".addresses." in row["setting"]}
    assert named <= set(BASE) and {name for name, base in BASE.items() if base} <= named


def test_what_is_fetched_has_a_licence_a_citation_and_a_source():
    for row in ROWS:
        if row["archive"].startswith(("DESI", "PROVABGS", "Legacy Surveys DR", "Legacy Surveys viewer")):
            assert row["licence"] and row["citation"] and row["source"], row
