"""A survey of one's own: galaxies whose brightness and rest-frame spectrum are functions of redshift."""

from skyloom.settings.kinds import SurveyKind
from skyloom.settings.section import setting
from skyloom.settings.survey import SurveySettings


class Settings(SurveySettings):
    """Keys of a survey of kind `toy_survey`."""

    files: int = setting(2, ge=1)
    "catalogue files"
    galaxies: int = setting(100, ge=1)
    "galaxies in each"


def raw_files(settings):
    return {"simulated": [f"catalog/toy-{number}.h5" for number in range(settings.files)]}


def fetch(settings, seed, name, path):
    import numpy as np

    from skyloom.formats.part_files import part_writer

    number = int(name.removesuffix(".h5").rpartition("-")[2])
    rng, n = np.random.default_rng([seed, number]), settings["galaxies"]
    z = rng.uniform(0.1, 1.0, n)
    mass = rng.normal(10.5, 0.5, n)
    band, bin_ = np.arange(4), np.arange(12)
    with part_writer(path, {}, {"part": number}) as writer:
        writer.append(
            targetid=np.arange(n) + 1000 * number,
            ra=rng.uniform(100, 110, n),
            dec=rng.uniform(-5, 5, n),
            redshift=z,
            log_mhalo=mass + 1.5,
            log_mstar=mass,
            lsst=20 - 2.5 * (mass - 10.5)[:, None] + z[:, None] * band + rng.normal(0, 0.02, (n, 4)),
            sed=mass[:, None] + 0.1 * bin_ + rng.normal(0, 0.02, (n, 12)),
        )


KIND = SurveyKind(settings=Settings, raw_files=raw_files, fetch="toy_survey:fetch", keys=("galaxies",))
