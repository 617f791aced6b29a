"""Where and how exactly a network computes: device, precision, threads."""

import contextlib
import os
from collections.abc import Iterator

import torch

from skyloom.core.memory import keep_freed_memory


def pick_device(wanted: str) -> str:
    """ "cpu", or the GPU of this process."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda":
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return wanted


def pick_precision(wanted: str, device: str) -> str:
    """bfloat16 where the hardware multiplies it: GPUs, and CPUs with AVX512-BF16 (2 to 3 times faster there)."""
    if wanted != "auto":
        return wanted
    fast = device.startswith("cuda") or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def autocast(precision: str, device: str) -> torch.autocast:
    """Mixed precision, when it is bfloat16."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")


@contextlib.contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fix what changes the last bits of a result: the number of threads and the choice of kernels."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    keep_freed_memory()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports the compiler: 3 s a process
    torch.utils.deterministic.fill_uninitialized_memory = False  # a twentieth of a step; nothing here reads such memory
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled
