"""Trainings in several processes, forked from one that has imported everything: starting them takes no time.

``python -m tests.training.processes jobs.json`` does one job after another and prints their exit codes as JSON. A
job has `arguments` of `skyloom.training.run.train`; `world`, how many processes; and `dies`, (rank, step) of the one
that gets a SIGKILL in the middle of that step, gradients computed and weights unchanged, or None. When a process fails
the others are killed, as torchrun does.
"""

import json
import logging
import os
import signal
import sys
import tempfile

import torch
import torch.distributed.fsdp  # noqa: F401 (what it brings is imported once)

from skyloom.training import optimizer
from skyloom.training.run import train


def work(job: dict, rank: int, meeting: str) -> None:
    """What one process does."""
    if job["dies"] and job["dies"][0] == rank:
        die_at(job["dies"][1])
    group = {"rank": rank, "world_size": job["world"], "init_method": f"file://{meeting}"}
    torch.distributed.init_process_group("gloo", **group)
    train(*job["arguments"])
    torch.distributed.destroy_process_group()


def die_at(step: int) -> None:
    """Kill this process in the middle of a step of the training: schedule is called at its start, clip in it."""
    schedule, clip, now = optimizer.schedule, optimizer.clip, []

    def at(optimizer, settings, step):
        now[:] = [step]
        return schedule(optimizer, settings, step)

    def dies(*arguments):
        if now == [step]:
            os.kill(os.getpid(), signal.SIGKILL)
        return clip(*arguments)

    optimizer.schedule, optimizer.clip = at, dies


def ended(job: dict) -> list[int]:
    """Exit codes of the processes of a job, by rank."""
    with tempfile.TemporaryDirectory() as folder:
        ranks, codes = {}, {}
        for rank in range(job["world"]):
            child = os.fork()
            if not child:
                try:
                    work(job, rank, os.path.join(folder, "meeting"))
                    os._exit(0)
                except BaseException as error:
                    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                    os._exit(1)
            ranks[child] = rank
        while len(codes) < len(ranks):
            child, status = os.wait()
            codes[ranks[child]] = os.waitstatus_to_exitcode(status)
            if status:
                for other in ranks.keys() - {child}:
                    if ranks[other] not in codes:
                        os.kill(other, signal.SIGKILL)
    return [codes[rank] for rank in sorted(codes)]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    print(json.dumps([ended(job) for job in jobs]))
