"""What the C library does with memory that a process gives back."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # glibc, malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for its next allocations; False where the C library cannot.

    A training step allocates the same large tensors again and again. Left to itself, glibc returns every block of more
    than 32 MiB to the system, and the arena of the thread that computes gradients whenever it is empty, and takes them
    back page by page, filled with zeros: up to a third of a step (tests/bench/LOG.md). So one arena for all threads,
    and nothing goes back: the process keeps its peak until it ends.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # macOS, musl
        return False
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_ARENA_MAX, 1)])
