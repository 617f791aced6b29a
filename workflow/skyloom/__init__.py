"""Skyloom's library: from survey files to galaxy embeddings, with no Snakemake inside.

It is imported with the folder ``workflow`` on ``PYTHONPATH``: the Snakefile sets that for every job it starts,
``pip install -e .`` does it for a virtual environment, and ``PYTHONPATH=workflow python -m skyloom.training`` anywhere
else.
"""

__version__ = "0.1.0"
