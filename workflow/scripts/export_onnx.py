"""A model's embeddings as an ONNX file. In: weights, card. Out: the file, compared with torch."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.embedding.onnx_export import export
    from skyloom.settings import kinds

    kinds.extend(snakemake.config.get("extensions", ()))
    export(Path(snakemake.input.card).parent, snakemake.output.onnx)
