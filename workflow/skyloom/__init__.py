"""Skyloom's library: from survey files to galaxy embeddings, with no Snakemake inside.

It is imported with the folder ``workflow`` on ``PYTHONPATH``: the Snakefile sets that for every job it starts,
``pip install -e .`` does it for a virtual environment, and ``PYTHONPATH=workflow python -m skyloom.training`` anywhere
else.
"""

import os

# HDF5 locks every file that it opens, and fails where the file system has no locks (HDF5 2.0: "unable to lock file,
# errno = 37"). Files here are written under a temporary name by one process and are whole before anyone opens them.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

__version__ = "0.1.0"
