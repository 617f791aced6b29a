"""Which parts of a survey of files go to which token shard.

With as many parts as shards or more, whole parts are dealt round, and a shard reads few files. With fewer, a part is
cut into stretches of rows, one for each shard that comes round to it: one file of a hundred thousand galaxies still
gives work to many jobs.
"""


def parts_of_shard(parts: int, shards: int, shard: int) -> list[int]:
    """Numbers of the parts whose galaxies go to a shard."""
    return list(range(shard, parts, shards)) if parts >= shards else [shard % parts]


def shard_of(part, row, rows, parts: int, shards: int):
    """The shard of row `row` of the `rows` rows of part `part`; numbers, or arrays of them."""
    if parts >= shards:
        return part % shards
    takers = (shards - 1 - part) // parts + 1  # the shards part, part + parts, part + 2 parts ...
    return part + parts * (row * takers // rows)
