"""Slurm: writes an sbatch script, submits it, follows its log, and ends as the job does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Launcher
from swift_core.contract.job import Job
from swift_plugin_slurm.following import follow

SCRIPT = "slurm.sh"
"""Name of the script in the output folder."""


AGENT = "swift_plugin_torchrun.agent"
"""What runs on each machine: torchrun, with an exit code that tells what happened."""

TIME = r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|infinite|INFINITE|UNLIMITED"
"""A time limit of sbatch: minutes, minutes:seconds, hours:minutes:seconds, days-hours and finer, or none."""

WARNED = 138
"""Exit code of processes that a warning stopped: 128 + the number of SIGUSR1 on Linux."""

BODY = """
cd {folder}
{setup}
# Processes that Slurm starts again go on from the newest whole checkpoint.
again=()
if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ]; then again=(--resume_from_checkpoint auto); fi
newest() {{ ls -d {output}/checkpoint-* 2>/dev/null | sort -V | tail -n 1; }}
before=$(newest)
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export SWIFT_RENDEZVOUS="$head:{port}"

srun {srun}bash -c {start} start "${{again[@]}}"
code=$?
if [ $code -eq {warned} ]; then
    if [ "$(newest)" = "$before" ]; then
        echo "warned before the time limit, and no step was saved since the start: the time is too short"
        exit $code
    fi
    echo "warned before the time limit: $(newest) is saved, and the job is queued again"
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60  # Slurm ends this script
fi
exit $code
"""

START = (
    "{python} -m " + AGENT + " --nnodes {nnodes} --nproc_per_node {processes} --max_restarts {restarts} "
    "--rdzv_backend c10d --rdzv_endpoint $SWIFT_RENDEZVOUS --rdzv_id $SLURM_JOB_ID "
    '--rdzv_conf is_host=$([ $SLURM_NODEID -eq 0 ] && echo true || echo false) {command} "$@"'
)
"""What srun runs once on each machine; the first one is the host of the meeting."""


@dataclass(kw_only=True, eq=False)
class Slurm(Launcher):
    """Submits the job to Slurm: srun starts torchrun on each machine; a warning saves, and the job goes on later."""

    swift_api = 1

    nnodes: int = option(1, "Machines (--nodes).", ge=1)
    gpus_per_node: int = option(0, "GPUs on each machine (--gpus-per-node); 0: none are asked for.", ge=0)
    nproc_per_node: int | None = option(None, "Processes on each machine; left out: one per GPU, or one.", ge=1)
    cpus_per_node: int | None = option(None, "CPUs on each machine (--cpus-per-task); left out: as Slurm says.", ge=1)
    time: str | None = option(None, "Time limit, as Slurm writes it: 90 (minutes), 12:00:00, 2-00:00:00.")
    partition: str | None = option(None, "Partition; left out: the cluster's own.")
    account: str | None = option(None, "Account that is charged.")
    job_name: str | None = option(None, "Name in the queue; left out: that of the output folder.")
    sbatch_lines: list[str] = option([], "More options of sbatch, without their dashes: mem=100G qos=long.")
    setup_lines: list[str] = option([], "Lines of bash before the processes start: 'module load cuda'.")
    warn_seconds: int = option(
        120, "Seconds before the time limit at which a checkpoint is saved and the job queued again; 0: never.", ge=0
    )
    max_restarts: int = option(
        0, "How often all processes start anew, from the newest whole checkpoint, where one has died.", ge=0
    )
    master_port: int | None = option(
        None, "Port at which the processes meet; left out: one from the job's number.", ge=1, le=65535
    )
    submit: bool = option(True, "Submit the script; false: only write it.")
    follow: bool = option(True, "Show the job's log and wait for its end; false: only submit it.")

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse a time that Slurm does not read, and a machine that submits nothing. Raises SwiftError."""
        if self.time is not None and not re.fullmatch(TIME, self.time):
            raise SwiftError(f"--time {self.time}: Slurm reads 90 (minutes), 12:00:00 or 2-00:00:00.")
        if "LOCAL_RANK" in os.environ or not self.submit:
            return
        lacking = [name for name in ("sbatch", "scontrol") if shutil.which(name) is None]
        if lacking:
            raise SwiftError(
                f"--launcher slurm: {' and '.join(lacking)} cannot be found on this machine. Run swift where Slurm's "
                "programs are (a login node), or write the script alone: --submit false."
            )

    @hookimpl
    def launch(self, job: Job, command: list[str]) -> int:
        folder = Path(job.options.output_dir or ".").absolute()
        script = folder / SCRIPT
        script.write_text(batch_script(self, folder, [sys.executable, *command]), encoding="utf-8")
        if not self.submit:
            job.say(f"{script} is written; submit it with sbatch.")
            return 0
        number = _submitted(script)
        log = folder / f"slurm-{number}.log"
        job.say(f"Slurm job {number}: {log}")
        return follow(job, number, log) if self.follow else 0

    def layout(self) -> tuple[str, int | None]:
        """--nnodes, and the processes on each."""
        return str(self.nnodes), self.processes()

    def processes(self) -> int:
        """Processes on each machine."""
        return self.nproc_per_node or self.gpus_per_node or 1


def _submitted(script: Path) -> str:
    """The number of the job that Slurm makes of a script. SwiftError with Slurm's own words where it refuses."""
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SwiftError(f"sbatch refused {script}: {done.stderr.strip()}")
    return done.stdout.strip().partition(";")[0]  # a cluster's name may follow


def batch_script(slurm: Slurm, folder: Path, command: list[str]) -> str:
    """The script that runs `command`, whose first word is Python's path, in the job's own folder.

    folder: the output folder, for the log.
    """
    python, *words = command
    start = START.format(
        python=shlex.quote(python),
        nnodes=slurm.nnodes,
        processes=slurm.processes(),
        restarts=slurm.max_restarts,
        command=shlex.join(words),
    )
    cpus = f"--cpus-per-task {slurm.cpus_per_node} " if slurm.cpus_per_node else ""
    body = BODY.format(
        folder=shlex.quote(str(Path.cwd())),
        output=shlex.quote(str(folder)),
        setup="\n".join(slurm.setup_lines),
        port=slurm.master_port or "$((20000 + SLURM_JOB_ID % 10000))",
        start=shlex.quote(start),
        srun=cpus,
        warned=WARNED,
    )
    own = [f"--{line.lstrip('-')}" for line in slurm.sbatch_lines]
    lines = [f"#SBATCH {line}" for line in (*_directives(slurm, folder), *own)]
    return "\n".join(["#!/bin/bash", *lines, body])


def _directives(slurm: Slurm, folder: Path) -> list[str]:
    """Options of sbatch, those that are left out aside."""
    said = {
        "job-name": slurm.job_name or folder.name,
        "nodes": slurm.nnodes,
        "ntasks-per-node": 1,
        "gpus-per-node": slurm.gpus_per_node or None,
        "cpus-per-task": slurm.cpus_per_node,
        "time": slurm.time,
        "partition": slurm.partition,
        "account": slurm.account,
        "output": folder / "slurm-%j.log",
        "open-mode": "append",
        "signal": f"USR1@{slurm.warn_seconds}" if slurm.warn_seconds else None,
    }
    return ["--requeue", *(f"--{name}={_quoted(value)}" for name, value in said.items() if value is not None)]


def _quoted(value: object) -> str:
    """sbatch splits its lines at spaces, as a shell does."""
    return shlex.quote(str(value))
