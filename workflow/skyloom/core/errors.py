"""Errors a user can act on: one line that names the file, HDU, column or setting and what was expected."""


class SkyloomError(Exception):
    """Base of all errors whose message alone is enough; a job shows the message and keeps the traceback in its log."""


class BadInput(SkyloomError):
    """A survey file, catalogue, shard or checkpoint that does not hold what its format promises."""


class BadConfig(SkyloomError):
    """A configuration value that is not allowed."""


class NotAvailable(SkyloomError):
    """Something that had to be fetched and could not be: no network, no such package, wrong checksum."""


class Absent(NotAvailable):
    """What an archive answers that it does not have."""
