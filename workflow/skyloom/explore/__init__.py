"""Search in embeddings: an index on disk, questions to it, and answers for other programs. What a page calls:

    from skyloom.explore.explorer import Explorer
    explorer = Explorer("results/mock")                    # opens nothing yet but lists what there is
    explorer.embeddings                                    # ["astroclip-image", "astroclip-spectrum", ...]
    explorer.pairings("astroclip")                         # [("astroclip-image", "astroclip-image"), ... four of them]
    found = explorer.neighbours(                           # pyarrow.Table
        [39627640566583295, Position(150.1, 2.2, 1.0), File("mine.fits")],   # or text, see `queries`
        embedding="astroclip-image",                       # what is searched
        by="astroclip-spectrum",                           # what the question is seen by; the same unless told
        k=10,
        limits={"z": (0.1, 0.3), "mag_g-mag_r": (None, 0.8), "spectype": {"GALAXY"}},
        level=0.9,                                         # of the intervals of properties
    )

Columns of an answer: ``query`` (text), ``query_targetid`` (null for a file), ``rank`` (1 is the nearest; a galaxy is
not its own neighbour), ``targetid``, ``distance``, then columns of galaxies.parquet and properties with intervals
(`skyloom.explore.properties`). Units and words are in the fields' metadata.

==============  ========================================================================================================
`index`         `build_index`, `open_index` -> `Index`: ``search(vectors, k, among)``, ``raw(rows)``, ``targetid``
`scan`          `Scan`: the same, exactly, of the table of embeddings itself
`index_file`    the file ``results/{survey}/search/{model}-{modality}.usearch``
`recall`        recall against the exact scan, ``{model}-{modality}.json`` beside the index
`limits`        `parse_limits`, `passing`: ranges of columns and of differences of columns (colours)
`queries`       `Position`, `File`, `parse`, `read_list`: what may be asked
`own_files`     `embed_file`: a user's own spectrum or cutout, by the path of the survey's own data
`properties`    `Properties`: predictions and posteriors of a galaxy, with intervals
`catalog`       `Catalog`: columns of galaxies.parquet, cones
`explorer`      `Explorer`: all of it, of one survey's results
`answers`       `write_answers`: Parquet, VOTable, CSV; `votable_bytes` for a server
`cone`          `cone_search`, and `respond`: query string -> (status, content type, body), as Simple Cone Search has it
`atlas`         `write_atlas`: Parquet for embedding-atlas
`lance_results` `write_lance`: results of hyrax
`ask`           the command ``python -m skyloom.explore.ask``
`page`          the page: ``results/{survey}/explore/``, or by a server, ``python -m skyloom.explore results/mock``
==============  ========================================================================================================

Everything raises `BadConfig` (what was asked cannot be) or `BadInput` (a file is missing or broken), with one line.
An `Explorer` may be used by several threads of a server at once.
"""
