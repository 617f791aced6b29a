"""What tests do to a Slurm as its operators would: look at the queue, preempt a job, cancel one."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.events import wait_until


def asked(*command: str) -> str:
    """What a command of Slurm prints; nothing if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def is_up() -> bool:
    """Whether there is a Slurm with the partitions of ``slurm.sh``."""
    return bool(shutil.which("sinfo")) and any(
        word in asked("sinfo", "-h", "-p", "urgent", "-o", "%T") for word in ("idle", "mix", "alloc")
    )


class Queue:
    """The jobs that a run in `folder` has in Slurm."""

    def __init__(self, folder: Path):
        self.folder = str(folder)

    def jobs(self, partition: str, states: str) -> list[str]:
        """Its jobs in a partition, those of an array as ARRAY_TASK."""
        lines = asked("squeue", "-h", "-r", "-p", partition, "-t", states, "-o", "%i %Z").splitlines()
        return [line.split(" ", 1)[0] for line in lines if line.endswith(f" {self.folder}")]

    def restarted(self, number: str) -> bool:
        """Whether a job was preempted and queued again."""
        found = re.search(r"Restarts=(\d+)", asked("scontrol", "show", "job", number))
        return bool(found) and int(found[1]) > 0

    def preempt(self, number: str) -> bool:
        """Send in an urgent job that needs all GPUs of the node; whether the job had to make room for it."""
        whole = ["--partition=urgent", "--gpus=2", "--time=1", "--output=/dev/null"]
        urgent = asked("sbatch", "--parsable", *whole, "--wrap=true").strip()
        wait_until(lambda: not asked("squeue", "-h", "-j", urgent, "-t", "PD,R,CG").strip(), "the urgent job ends")
        asked("scontrol", "update", f"jobid={number}", "StartTime=now")  # Slurm lets it wait for two minutes
        return self.restarted(number)

    def preempt_one(self) -> bool:
        """Preempt whatever runs in the GPU partition."""
        return any(self.preempt(number) for number in self.jobs("gpu", "RUNNING"))

    def preempt_when(self, happened: Callable[[], bool]) -> bool:
        """Preempt the one job of the GPU partition as soon as `happened()`: it stands still from then on."""
        wait_until(happened, "the time to preempt")
        (number,) = self.jobs("gpu", "RUNNING")
        listed = [int(line.split()[0]) for line in asked("scontrol", "listpids", number).splitlines()[1:]]
        for process in listed:
            if process > 1:  # -1, for a step without one, would be every process there is
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGSTOP)
        return self.preempt(number)

    def cancel_one(self) -> bool:
        """Cancel a job that runs in the CPU partition."""
        running = self.jobs("cpu", "RUNNING")
        if not running:
            return False
        asked("scancel", running[0])
        wait_until(lambda: running[0] not in self.jobs("cpu", "RUNNING,COMPLETING"), "the cancelled job ends")
        return running[0] in self.jobs("cpu", "CANCELLED")
