"""What PROVABGS's users derive from its parameters. In: the published table, bases. Out: its companion."""

from skyloom.core.job import job

with job(snakemake):
    import os

    from skyloom.formats.provabgs_model import write_derived

    folder = os.path.dirname(snakemake.input.bases[0])
    write_derived(snakemake.input.properties, folder, snakemake.output.derived)
