"""The whole comparison: samples, checks, figures, table, page."""

import logging

import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.analysis.common.captions import caption
from skyloom.analysis.common.tables import write_csv
from skyloom.analysis.mock_validation import (
    KIND,
    SECTION_OF,
    abundance,
    difficulty,
    figures,
    figures_data,
    figures_structure,
    learning_curve,
    lines,
    pictures,
    samples,
    scaling,
    spectroscopy,
    structure,
)
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.observations import Observations, read_observations
from skyloom.analysis.mock_validation.page import build_page
from skyloom.figures.html import figure
from skyloom.mock.universe.light.ssp import load_grid
from skyloom.mock.universe.spectra import rest_range
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

SPECTRA = 300  # of the survey that are read
LIBRARY = 6000  # galaxies drawn
PROPERTIES = ("z", "log_mstar", "log_z_mw", "t_age", "log_ssfr")


def compare(job: Job) -> None:
    """Compare a mock survey with what is known.

    Inputs: truth, zcatalog, coadd, images, hsc (raw files of the survey), grid, sky (what it was made from), samples
    (real DESI coadds), expected (the table of expected values, `checks.Ledger`). Outputs: page (html), table (csv), and
    a PNG for each role of SECTION_OF. Of the survey's settings `population` matters.

    Raises
    ------
    BadInput : the survey has no spectrum of a BGS galaxy, or a file is not what it should be.
    """
    inputs, outputs = job.inputs, job.outputs
    with threadpool_limits(1):
        rng = np.random.default_rng(np.random.SeedSequence([job.seed], spawn_key=(8,)))
        ledger, observed = Ledger(job.one("expected")), read_observations(job.settings.observations)
        found = samples.read_survey(inputs["truth"], job.one("zcatalog"))
        keys: dict[str, str] = {}
        library = _populations(job.of_survey, job.seed, inputs, ledger, observed, outputs)
        log.info("populations compared")
        _spectra(inputs, found, library, ledger, observed, outputs, keys, rng)
        log.info("spectra compared")
        _images(inputs, ledger, observed, outputs, keys, rng)
        log.info("images compared")
    _difficulty(found.catalogue, ledger, outputs)
    curve = learning_curve.measure(job.settings.learning_curve, job.survey, job.seed, job.of_survey, job.one("grid"))
    write_csv(outputs["curve"], curve)
    figures_structure.draw_learning_curve(outputs["learning_curve"], curve)
    learning_curve.check(ledger, curve)
    ledger.write(outputs["table"])
    shown = {}
    for role, section in SECTION_OF.items():
        text = caption("mock_validation", KIND.outputs[role])
        shown.setdefault(section, []).append(figure(outputs[role], text))
    text = {"found": observed.found, "missing": observed.missing, "keys": list(keys.items())}
    build_page(outputs["page"], job.survey, ledger.table(), shown, text | _sentences(inputs, library))


def _populations(config, seed, inputs, ledger, observed, outputs) -> samples.Library:
    library = samples.draw_library(inputs["grid"][0], config, seed, LIBRARY)
    grid = load_grid(inputs["grid"][0], rest_range("all"))
    local = scaling.measure(library.local, grid)
    if np.isfinite(library.volume):
        scaling.check_mass_function(ledger, local["log_mstar"], library.volume)
    scaling.check(ledger, local)
    abundance.check(ledger, library)
    structure.check(ledger, library, np.random.default_rng(np.random.SeedSequence([seed], spawn_key=(9,))))
    found = lines.check(ledger, library.bgs, library.sdss, grid)
    figures.draw_relations(outputs["relations"], local, library.volume, ledger)
    figures_structure.draw_structure(outputs["structure"], library.local, ledger)
    figures.draw_counts(outputs["counts"], library)
    figures.draw_colours(outputs["colours"], library, observed)
    figures.draw_lines(outputs["lines"], found)
    return library


def _spectra(inputs, survey: samples.Survey, library, ledger, observed: Observations, outputs, keys, rng) -> None:
    spectroscopy.check_redshifts(ledger, survey)
    spectra = samples.read_spectra(inputs["coadd"], survey.catalogue, SPECTRA)
    spectroscopy.check_pulls(ledger, spectra)
    observers = {kind: samples.Observer(inputs["grid"][0], inputs["sky"][0], kind) for kind in ("bgs", "lrg")}
    exposures = spectroscopy.real_exposures(inputs["samples"], observers["bgs"], rng)
    spectroscopy.check_exposures(ledger, exposures)
    figures_data.draw_quality(outputs["quality"], spectra, exposures, survey.catalogue)
    comparisons = {}
    for kind, real in observed.spectra.items():
        galaxies = library.bgs if kind == "bgs" else library.programs[kind]
        comparisons[kind] = spectroscopy.compare(real, galaxies, observers[kind], rng)
        spectroscopy.check_comparison(ledger, kind, comparisons[kind])
    figures_data.draw_indices(outputs["indices"], comparisons)
    keys["spectra"] = figures_data.draw_which_spectra(outputs["which_spectra"], comparisons.get("bgs"), rng)


def _images(inputs, ledger, observed: Observations, outputs, keys, rng) -> None:
    legacy, hsc = pictures.read_legacy(inputs["images"]), pictures.read_hsc(inputs["hsc"])
    pictures.check(ledger, legacy, hsc)
    pictures.check_real(ledger, legacy, hsc, observed.decam, observed.hsc)
    figures_data.draw_images(outputs["images"], legacy, hsc, observed)
    panels = pictures.panels(legacy, hsc, observed)
    keys["images"] = figures_data.draw_which_images(outputs["which_images"], panels, rng)


def _difficulty(table, ledger, outputs) -> None:
    """What photometry of the catalogue says of the true properties, for good redshifts."""
    table = table[(table["ZWARN"] == 0) & (table["COADD_FIBERSTATUS"] == 0)]
    fluxes = table[["FLUX_G", "FLUX_R", "FLUX_Z"]].to_numpy()
    truth = {
        "z": table["redshift"].to_numpy(),
        "log_mstar": table["log_mstar"].to_numpy(),
        "log_z_mw": np.log10(table["z_mw"].to_numpy()),
        "t_age": table["t_age_mw"].to_numpy(),
        "log_ssfr": np.log10(np.maximum(table["avg_sfr"].to_numpy(), 1e-5)) - table["log_mstar"].to_numpy(),
    }
    scores = difficulty.score(difficulty.features(fluxes, table["EBV"].to_numpy()), truth)
    n = scores["z"]["n"]
    for name in ("z", "log_mstar", "log_z_mw", "log_ssfr"):
        ledger.add(f"r2_{name}", scores[name]["r2"], n)
    ledger.add("r2_mass_minus_metallicity", scores["log_mstar"]["r2"] - scores["log_z_mw"]["r2"], n)
    ledger.add("r2_mass_minus_age", scores["log_mstar"]["r2"] - scores["t_age"]["r2"], n)
    known = [name for name in PROPERTIES if f"r2_{name}" in ledger.expected.index]
    figures.draw_difficulty(outputs["difficulty"], scores, truth, {name: ledger.bounds(f"r2_{name}") for name in known})


def _sentences(inputs, library) -> dict[str, str]:
    mock = (
        f"{len(inputs['truth'])} tiles of the survey ({SPECTRA} spectra and {pictures.SAMPLE} images were read); "
        f"{len(library.local):,} local galaxies, {len(library.bgs):,} BGS and "
        f"{len(library.programs['lrg']):,} each of LRG, ELG and QSO drawn from the library."
    )
    count = len(inputs["samples"])
    exposures = (
        f"Real DESI coadds of the packages fastspecfit and specutils: {count} files."
        if count
        else "No survey of the kind desi_samples is configured, so no real DESI coadds were compared."
    )
    return {"mock": mock, "exposures": exposures}
