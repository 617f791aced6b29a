"""A guess at what is wrong with a galaxy, from the families of scores in which it stands out.

The first line that holds decides:

1. the spectrum is odd and the image disagrees with the catalogue: qso_in_host, new light in both
2. the spectrum is odd and modalities contradict each other: calibration_step, in the spectrum alone
3. the spectrum is odd: blend, in both modalities, which therefore agree
4. modalities contradict each other and the image is odd, more than it disagrees with the catalogue: lensed_arc
5. modalities contradict each other: wrong_image, a good image of something else
6. the image disagrees with the catalogue: blend, with little of the second galaxy in the fibre
7. the image is odd: lensed_arc
8. the spectrum disagrees with the catalogued redshift: wrong_redshift; and else unclear

The rule knows what the kinds do to data and no label. Its order was tried on labelled galaxies of a mock survey that no
result is from.
"""

import numpy as np
import pandas

from skyloom.analysis.anomalies.disagreement import PAIR, REDSHIFT, SPECTRA, in_catalogue
from skyloom.settings.names import IMAGES

BLEND, WRONG_IMAGE, STEP, ARC, QSO = "blend", "wrong_image", "calibration_step", "lensed_arc", "qso_in_host"
KINDS = (BLEND, WRONG_IMAGE, STEP, ARC, QSO)
WRONG_REDSHIFT, UNCLEAR = "wrong_redshift", "unclear"
GUESSES = (*KINDS, WRONG_REDSHIFT, UNCLEAR)


def guess(families: pandas.DataFrame, stands_out: float) -> np.ndarray:
    """One of GUESSES (n,) for each galaxy.

    Parameters
    ----------
    families : (n, F) oddness in each family, as `combine.families` gives them
    stands_out : share of galaxies that stand out in a family
    """

    def of(names) -> np.ndarray:
        there = [name for name in names if name in families]
        return families[there].max(axis=1).fillna(0).to_numpy() if there else np.zeros(len(families))

    least = -np.log(stands_out)
    image, catalogue = of(IMAGES), of(map(in_catalogue, IMAGES))
    odd, apart, contradicts, redshift = (v > least for v in (of(SPECTRA), of([PAIR]), catalogue, of([REDSHIFT])))
    strange = image > least
    lines = [
        (odd & contradicts, QSO),
        (odd & apart, STEP),
        (odd, BLEND),
        (apart & strange & (image > catalogue), ARC),
        (apart, WRONG_IMAGE),
        (contradicts, BLEND),
        (strange, ARC),
        (redshift, WRONG_REDSHIFT),
    ]
    conditions, guesses = zip(*lines, strict=True)
    return np.select(conditions, guesses, UNCLEAR).astype(object)
