"""What Slurm would be asked for each job of a run: `snakemake` with the same arguments, which prints it as JSON.

The command of each job is made by Snakemake's own executor plugin, which needs no Slurm for that.
"""

import json
import sys

from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

GIVEN = {"run_uuid": "run", "slurm_logfile": "log", "comment_str": "", "account": "", "partition": "", "workdir": ""}


def show(scheduler: JobScheduler) -> bool:
    """In place of running the jobs: one line of JSON with rule, wildcards and command of each."""
    jobs = sorted(scheduler.workflow.dag.needrun_jobs(), key=lambda job: list(job.output))
    found = [
        {
            "rule": job.rule.name,
            "wildcards": dict(job.wildcards.items()),
            "local": job.rule.norun or job.rule.name in scheduler.workflow._localrules,
            "partition": job.resources.get("slurm_partition"),
            "command": get_submit_command(job, GIVEN) + set_gres_string(job),
            "again": again(job),
        }
        for job in jobs
    ]
    print("jobs:", json.dumps(found))
    return True


def again(job) -> str:
    """The command of its second attempt."""
    job.attempt = 2
    job.reset_params_and_resources()
    return get_submit_command(job, GIVEN)


if __name__ == "__main__":
    JobScheduler.schedule = show
    main(["--dry-run", *sys.argv[1:]])
