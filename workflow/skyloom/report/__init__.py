"""The page of a survey, made of what its analyses declare; Snakemake's archive of how it was made."""
