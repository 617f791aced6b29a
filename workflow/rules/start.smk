"""Before the first job and after the last: one run at a time, what has to be made again, what went wrong."""

import atexit
import contextlib
import functools
import gc
import inspect
import os
import sys

import snakemake.workflow
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import RerunTrigger
from snakemake_interface_storage_plugins.io import Mtime

from skyloom.core import plan
from skyloom.core.code import keep_notes
from skyloom.core.errors import SkyloomError
from skyloom.core.files import sweep
from skyloom.core.job import STATE, errors, lock_path, only_run
from skyloom.core.provenance import record_path
from skyloom.core.sharing import closed, notes, refuse_if_closed, share_with_group

gc.set_threshold(100_000, 50, 100)  # jobs live to the end: looking through them again and again finds nothing to free
run_lock = contextlib.ExitStack()
notices: list[str] = []  # lines for the user before the first job
share_with_group(STATE)


onstart:
    try:
        run_lock.enter_context(only_run())
    except SkyloomError as error:
        raise WorkflowError(str(error))
    for notice in notices:
        say(notice)
    sweep("results")


onerror:
    # At the very end, below the many lines of Snakemake's own.
    if failed := errors():
        atexit.register(print, "\nWhat went wrong:", *failed, sep="\n  ", file=sys.stderr, flush=True)


@functools.cache
def computed_params(rule) -> frozenset[str]:
    """Names of the parameters of a rule that are computed from inputs, outputs, threads or resources."""
    given = {name: value for name, value in rule.params.items() if callable(value)}
    sources = {"input", "output", "threads", "resources"}
    return frozenset(name for name, value in given.items() if sources & set(inspect.signature(value).parameters))


def given_params(job) -> dict:
    """The parameters of a job by name, but for those that are computed."""
    return {name: value for name, value in job.params.items() if name not in computed_params(job.rule)}


def compare_with_records(dag) -> None:
    """Have the jobs run again whose results were made otherwise than they would be now, and no others for their times."""
    planned = {}
    for level in dag.toposorted():
        for job in sorted(level, key=lambda job: list(job.output)):
            inputs, beside = [str(path) for path in job.input], [str(job.benchmark)] if job.benchmark else []
            params = given_params(job)
            planned |= {str(path): plan.Planned(params, tuple(inputs), tuple(beside)) for path in job.output}
    stale = plan.stale(planned, say)
    if dag.workflow.touch:
        plan.accept(planned, stale)
        title = "Results accepted as they are, although made otherwise:"
    else:
        dag.forcefiles.update(stale)
        title = "Results that no longer fit the settings or the files they come from are made again:"
    unsettled = plan.settle(planned, stale)
    dag.workflow.iocache.mtime.clear()  # seen before the times were set right
    dag.workflow.iocache.mtime.update({path: Mtime(local=time / 1e9) for path, time in unsettled.items()})
    if stale:
        say(plan.message(stale, title))


def say(line: str) -> None:
    """A line for the terminal."""
    print(line, file=sys.stderr, flush=True)


def compare_first(workflow) -> None:
    """Compare as soon as all jobs are known, before Snakemake decides which of them run.

    It has no hook for that (onstart comes too late, and not at all when there is nothing to be done), so its own step
    is wrapped.
    """
    build = workflow._build_dag

    def build_dag():
        decide = workflow.dag.update_needrun

        async def compare_then_decide(*args, **kwargs):
            workflow.dag.update_needrun = decide  # once: later calls follow checkpoints
            compare_with_records(workflow.dag)
            await decide(*args, **kwargs)

        # `--rerun-triggers` without params is a wish to keep what other settings made.
        if workflow.is_main_process and RerunTrigger.PARAMS in workflow.rerun_triggers:
            workflow.dag.update_needrun = compare_then_decide
        keep_notes()
        limit = getattr(workflow.scheduling_settings, "max_jobs_per_timespan", None)
        if limit and (limit.max_jobs, limit.timespan) == (100, 1):
            # Snakemake's default, which has it look for jobs every second once more with every job that ended: of a
            # run of 200 jobs on two cores, a minute.
            workflow.scheduling_settings.max_jobs_per_timespan = None
        build()
        if workflow.dryrun:  # writes nothing: what is somebody else's need not be open
            workflow.dag._checked_needrun_jobs.update(workflow.dag.needrun_jobs())
        elif workflow.executor_plugin and workflow.is_main_process:
            refuse_closed_places(workflow.dag)
            if workflow.executor_plugin.name == "slurm":
                mend_slurm_arrays()

    workflow._build_dag = build_dag


def refuse_closed_places(dag) -> None:
    """One line, before anything is done, when a job of this run would write where this user must not."""
    paths = []
    for job in dag.needrun_jobs():
        paths += [*map(str, job.output), *map(record_path, job.output), *map(str, job.log), *map(lock_path, job.log)]
        paths += [str(job.benchmark)] if job.benchmark else []
    try:
        refuse_if_closed([*notes(STATE), *paths] if paths else [])
    except SkyloomError as error:
        sys.exit(str(error))


def mend_slurm_arrays() -> None:
    """Mend how Slurm's executor (snakemake-executor-plugin-slurm 2.8.0) makes job arrays.

    It waits for the other jobs of a rule that are ready, which Snakemake holds back until those it gave have ended (by
    `jobs` in the profile): the run stands still for ever (its issue 473). Here they are submitted as they come. And it
    gives all jobs of an array what the first one asks for: here, what asks for the same goes together, so that a second
    attempt has its larger memory.
    """
    import snakemake_executor_plugin_slurm as plugin

    def submit_alike(executor, jobs):
        alike = {}
        for job in jobs:
            asked = {name: str(value) for name, value in job.resources.items() if name != "tmpdir"}
            alike.setdefault(tuple(sorted(asked.items())), []).append(job)
        for group in alike.values():
            submit(executor, group) if len(group) > 1 else executor._submit_job(group[0])

    def none(*ignored) -> int:
        return 0

    submit = plugin.Executor._submit_array_jobs
    plugin.Executor._submit_array_jobs = submit_alike
    plugin.pending_jobs_for_rule = none


def keep_notes_elsewhere(workflow) -> None:
    """Let Snakemake keep its notes in a temporary folder.

    It writes some in dry runs too. Where it may not it ends in a traceback, and it has no setting for that.
    """

    class Elsewhere(snakemake.workflow.FilePersistence):
        def __init__(self, **settings):
            super().__init__(**{**settings, "path": workflow.snakemake_tmp_dir / "notes"})

    snakemake.workflow.FilePersistence = Elsewhere


compare_first(workflow)
if closed(notes(STATE)):  # a colleague's folder: to look at
    keep_notes_elsewhere(workflow)
