"""What is wrong with a package, as one sentence."""

from worker.errors import WorkerError


class PackageError(WorkerError):
    """A package cannot be built, read, published or run; the text says what to change."""
