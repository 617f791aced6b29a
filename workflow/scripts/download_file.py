"""One file of the web that a survey or a model names. In: its URL. Out: the file."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.core.download import Remote, download
    from skyloom.surveys.common import web

    url = snakemake.params.url
    download(Remote(web.address(url), None, web.checksum(url)), snakemake.output.file)
