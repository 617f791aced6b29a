import platform
import subprocess
import sys

import pytest

# 64 MiB of 4 KiB pages: touched by a fill, counted by the kernel when they come fresh from it
SCRIPT = """
import resource, sys
import numpy as np
from skyloom.core.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(2**26, 1, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt belongs to glibc")
def test_memory_freed_once_is_used_again_without_asking_the_system():
    command = [sys.executable, "-c", SCRIPT]
    kept = int(subprocess.run([*command, "keep"], capture_output=True, check=True, text=True).stdout)
    left = int(subprocess.run([*command, "leave"], capture_output=True, check=True, text=True).stdout)
    assert kept < 16 <= left
