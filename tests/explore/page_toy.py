"""The toy survey with what a page shows besides: a map, anomalies, posteriors of the redshift, a column of odd text."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.analysis.common.tables import write_parquet
from tests.explore.toy import N

LOG_SCALE = (0.0, 0.002, 400)
"""ln(1+z) of the posteriors: first bin, step, count."""
PEAK = 150
TEXT = "</script><script>document.title='broken'</script>"
"""A class of galaxies, which the page has to show as it is."""


def page_survey(results: Path, folder: Path) -> Path:
    """A copy of the results of the toy survey in ``folder/toy`` with these tables; its path."""
    root = folder / "toy"
    shutil.copytree(results / "toy", root)
    path = root / "catalog/galaxies.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("spectype")
    words = pa.array(np.where(np.arange(N) % 3, "GALAXY", TEXT))
    pq.write_table(table.set_column(place, table.schema.field("spectype"), words), path)
    targetid = table["targetid"].to_numpy()
    angle = np.linspace(0, 2 * np.pi, N, endpoint=False)
    flat = {"targetid": targetid[:-1], "split": "test", "x": np.cos(angle)[:-1], "y": 0.5 * np.sin(angle)[:-1]}
    frames = [pandas.DataFrame({"survey": "toy", "model": "clip", "modality": "image", **flat})]
    (root / "analysis").mkdir(exist_ok=True)
    write_parquet(root / "analysis/any_name.parquet", pandas.concat(frames))
    order = np.arange(N)[::-1]
    found = {"targetid": targetid, "place": order + 1, "flagged": order < 3, "guess": ["wrong_image"] * N}
    write_parquet(root / "analysis/odd.parquet", pandas.DataFrame(found))
    mass = np.exp(-0.5 * ((np.arange(LOG_SCALE[2]) - PEAK) / 4) ** 2).astype("f4")
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.tile(mass / mass.sum(), 20)), LOG_SCALE[2])
    about = {"model": "net", "modalities": ["spectrum"], "query": "redshift", "log_scale": LOG_SCALE}
    answers = pa.table({"targetid": targetid[:20], "posterior": column})
    pq.write_table(answers.replace_schema_metadata({"skyloom": json.dumps(about)}), root / "predictions/net-z.parquet")
    return root
