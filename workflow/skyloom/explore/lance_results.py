"""Embeddings as results of hyrax (LINCC Frameworks; PyPI hyrax), whose vector search and pictures open them:

    hyrax.datasets.result_dataset.ResultDataset(config, "results/mock/lance/astroclip-image")

The layout is that of hyrax 0.13: a folder with ``lance_db/results.lance``, a Lance data set with `object_id` (text,
here the TARGETID) and `data` (list of fixed size); the schema's metadata have for each tensor its shape and type, as
JSON. It needs the extra 'lance' (``pip install -c requirements.lock -e '.[lance]'``).
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.analysis.common.embeddings import open_embedding
from skyloom.core.errors import NotAvailable
from skyloom.surveys.common.manifest import write_manifest

FOLDER, TABLE, MANIFEST = "lance_db", "results.lance", "manifest.csv"
_BATCH = 2**14


def write_lance(table: str | os.PathLike, manifest: str | os.PathLike) -> int:
    """Write a table of embeddings as results of hyrax, in the folder of the file `manifest`, which lists the files.

    What was there is replaced. Returns the number of galaxies. The names of Lance's files are drawn at random: the
    rows are the same every time, the bytes are not.

    Raises
    ------
    NotAvailable : the package `pylance` is not installed.
    BadInput : a damaged table.
    """
    try:
        os.environ.setdefault("LANCE_LOG", "error")  # it warns of every new data set
        import lance
    except ImportError as error:
        raise NotAvailable("pylance is not installed: pip install -c requirements.lock -e '.[lance]'") from error
    opened, folder = open_embedding(table), Path(manifest).parent
    told = {"data": json.dumps({"tensor_shape": [opened.width], "tensor_dtype": "float32"})}
    fields = [pa.field("object_id", pa.string()), pa.field("data", pa.list_(pa.float32(), opened.width))]
    schema = pa.schema(fields, metadata=told)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    (folder / FOLDER).mkdir(parents=True)
    reader = pa.RecordBatchReader.from_batches(schema, _batches(table, schema))
    lance.write_dataset(reader, str(folder / FOLDER / TABLE), schema=schema, mode="create")
    write_manifest(sorted(path for path in (folder / FOLDER).rglob("*") if path.is_file()), manifest)
    return len(opened.targetid)


def _batches(table: str | os.PathLike, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(table) as file:
        for batch in file.iter_batches(_BATCH, columns=["targetid", "embedding"]):
            names = batch["targetid"].cast(pa.string())
            yield pa.RecordBatch.from_arrays([names, batch["embedding"].cast(schema.field("data").type)], schema=schema)
