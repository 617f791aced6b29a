"""What Snakemake asks of a PBS job: running, success or failed. ``qstat`` must keep ended jobs (job_history_enable)."""

import json
import subprocess
import sys


def status(job: str) -> str:
    """The state of a job by its number; one that PBS does not know any more has failed: its outputs tell otherwise."""
    asked = subprocess.run(["qstat", "-x", "-f", "-F", "json", job], capture_output=True, text=True, check=False)
    if asked.returncode:
        return "failed"
    found = next(iter(json.loads(asked.stdout)["Jobs"].values()))
    if found["job_state"] not in ("F", "X"):
        return "running"
    return "success" if found.get("Exit_status") == 0 else "failed"


if __name__ == "__main__":
    print(status(sys.argv[1]))
