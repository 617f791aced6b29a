"""What a source is called, in tables, figures and claims."""

from skyloom.analysis.calibration import PHOTOMETRY
from skyloom.figures import style


def called(source: str, given: str) -> str:
    """``spectrum: specformer``; of a pair ``spectrum+image: specformer + astrodino`` or ``image alone: ...``."""
    if source == PHOTOMETRY:
        return PHOTOMETRY
    parts = source.split("+")
    models = " + ".join(dict.fromkeys(part.rpartition("-")[0] or part for part in parts))
    alone = " alone" if len(parts) > 1 and "+" not in given else ""
    return style.pretty(f"{given}{alone}: {models}" if given else models)
