"""What the rules of archives share: the catalogue tells which files there are, and raw files may pass through."""


def planned_surveys() -> list[str]:
    """The surveys of which something is fetched: from archives, or by the URLs that they name."""
    return [name for name, survey in settings.surveys.items() if survey.later or survey.kind.planned or urls_of(survey)]


def listing_if_any(wildcards) -> list[str]:
    """The list of the files that the catalogue of an archive told."""
    return [layout.listing(wildcards.survey)] if settings.surveys[wildcards.survey].later else []


def with_catalogue_first() -> str:
    """A wildcard constraint: the surveys of archives, whose catalogue tells which files are fetched."""
    return one_of(name for name, survey in settings.surveys.items() if survey.later)


def listed_by(key: str) -> str:
    """A wildcard constraint: the surveys whose files are told by a function that their kind names."""
    return one_of(name for name, survey in settings.surveys.items() if getattr(survey.kind, key))


def fetched_files() -> str:
    """A wildcard constraint: the raw files that are had one by one, by name or, of archives, by pattern."""
    having = [survey for survey in settings.surveys.values() if survey.kind.fetch]
    names = one_of(name for survey in having for names in survey.raw.values() for name in names)
    return "|".join([names, *(pattern for survey in having for pattern in survey.kind.patterns)])


def passes(survey: str) -> bool:
    """Whether the raw files of a survey go when they are tokens; its catalogue then says what is in them."""
    given = settings.surveys[survey]
    return bool(given.later) and not getattr(given.settings, "keep_raw", True)


def files_that_go(survey: str) -> tuple[str, ...]:
    """The roles of these files."""
    return settings.surveys[survey].later if passes(survey) else ()


def passing() -> str:
    """A wildcard constraint: the surveys whose raw files go when they are tokens."""
    return one_of(name for name in settings.surveys if passes(name))


def passing_files() -> str:
    """A wildcard constraint: the raw files that go."""
    patterns = {
        pattern for name, survey in settings.surveys.items() if passes(name) for pattern in survey.kind.patterns
    }
    return "|".join(sorted(patterns)) or "(?!)"


def raw_for_catalogue(role: str):
    """An input function: the raw files of a role that the table of galaxies is made of."""
    return lambda wildcards: [] if passes(wildcards.survey) else raw_files(role)(wildcards)


def wanted_galaxies(wildcards) -> list[str]:
    """The galaxies that the catalogue of an archive told, for a survey whose files pass through."""
    return [f"results/{wildcards.survey}/raw/wanted.parquet"] if passes(wildcards.survey) else []


def images_of_shard(role: str, modality: str):
    """An input function: the manifest of the images of a role; of a survey of files, or whose files pass through, the
    files with those of the galaxies of one shard."""

    def of_shard(wildcards) -> list[str]:
        survey = settings.surveys[wildcards.survey]
        if modality in survey.samples:
            return samples_of_shard(wildcards, modality)
        if role not in files_that_go(wildcards.survey):
            return [layout.manifest(wildcards.survey, role)]
        coadds, folder = set(raw_of_shard("coadd")(wildcards)), f"results/{wildcards.survey}/raw"
        return [
            f"{folder}/{file.file}"
            for file in survey.listed
            if file.role == role and f"{folder}/{file.coadd}" in coadds
        ]

    return of_shard


@functools.cache
def shard_of_file(survey: str) -> dict[str, int]:
    """Raw file -> the shard that its galaxies go to."""
    given = settings.surveys[survey]
    place = {path: number for number, path in enumerate(numbered(survey, "coadd"))}
    folder = f"results/{survey}/raw"
    return {file.file: place[f"{folder}/{file.coadd}"] % given.settings.shards for file in given.listed}


def earlier_tokens(wildcards) -> list[str]:
    """The tokens that have to be there before a raw file is fetched, so that few shards are in flight at a time."""
    given = settings.surveys[wildcards.survey].settings
    before = shard_of_file(wildcards.survey)[wildcards.file] - given.shards_in_flight
    names = [name for name in given.modalities if set(MODALITIES[name]) & set(settings.surveys[wildcards.survey].later)]
    return [layout.shards(wildcards.survey, name, settings)[before] for name in names] if before >= 0 else []


def bases(wildcards) -> list[str]:
    """The user's copy of the bases of PROVABGS."""
    from skyloom.formats.provabgs_model import BASIS_FILES  # numpy, which the plan of other runs need not wait for

    folder = settings.surveys[wildcards.survey].settings.provabgs_bases
    return [os.path.join(folder, name) for name in BASIS_FILES.values()]


def parts_of_file(wildcards) -> list[str]:
    """What a raw file is made of: raw files that are files of their own, or files of the user's."""
    survey = settings.surveys[wildcards.survey]
    own = survey.kind.made_from(survey.settings)
    return own or (made_of(survey.name).get(wildcards.file, []) if survey.listed is not None else [])


@functools.cache
def made_of(survey: str) -> dict[str, list[str]]:
    """Raw file -> `parts_of_file`, of the files that the catalogue told."""
    given = settings.surveys[survey]
    names = {file.file for file in given.listed}
    parts = {file.file: [name for part in file.parts for name in given.kind.parts(part)] for file in given.listed}
    folder = f"results/{survey}/raw"
    return {file: [f"{folder}/{name}" for name in found if name in names] for file, found in parts.items()}


def rows_of_file(wildcards) -> str:
    """What of the wanted galaxies a raw file is made of, in short; "" for one that the archive has as it is."""
    known = settings.surveys[wildcards.survey].listed is not None
    return digests(wildcards.survey).get(wildcards.file, "") if known else ""


@functools.cache
def digests(survey: str) -> dict[str, str]:
    """Raw file -> `rows_of_file`, of the files that the catalogue told."""
    return {file.file: file.digest for file in settings.surveys[survey].listed}
