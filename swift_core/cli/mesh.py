"""What `swift explain` says of processes: machines × processes on each, and what these are divided into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contract.components import Launcher, Parallel, declared
from swift_core.job.options import fields_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job

SIZE = "_parallel_size"
"""How the option of a strategy ends that says how many processes make one group: `--sequence_parallel_size 4`."""


def mesh_lines(job: Job) -> list[str]:
    """The device mesh of a job as lines of text; one line for a job on one process."""
    if not job.many("launcher"):
        return ["  1 process"]
    machines, each = declared(job.one("launcher"), Launcher, "layout")()
    noun = "machine" if machines == "1" else "machines"
    if each is None:
        return [f"  {machines} {noun} × one process per GPU", *_divided(job, None)]
    counts = [int(number) * each for number in machines.split(":")]
    total = ":".join(map(str, counts))
    line = f"  {machines} {noun} × {each} {'process' if each == 1 else 'processes'} = {total}"
    return [line, *_divided(job, counts)]


def _divided(job: Job, counts: list[int] | None) -> list[str]:
    """How the strategies divide the processes, from the outermost axis in."""
    sizes = _sizes(job)
    inner = 1
    for size in sizes.values():
        inner *= size
    data = "data" if counts is None else f"{':'.join(_share(count, inner) for count in counts)} data"
    axes = " × ".join([data, *(f"{size} {name}" for name, size in sizes.items())])
    split = [c.entry.name for c in job.many("parallel") if declared(c.component, Parallel, "splits_weights")]
    wrong = [n for n in counts or () if n % inner]
    refused = [f"  {inner} does not divide {wrong[0]} processes: the job is refused"] if wrong else []
    return [f"  mesh: {axes}", *refused, *(f"  {name}: each process holds a part of every weight" for name in split)]


def _sizes(job: Job) -> dict[str, int]:
    """Strategy → processes in one of its groups."""
    owners = [c.component for c in job.many("parallel")]
    found = {n: getattr(owner, n) for owner in owners for n in fields_of(type(owner)) if n.endswith(SIZE)}
    return {name.removesuffix(SIZE): size for name, size in found.items() if size and size > 1}


def _share(count: int, inner: int) -> str:
    """How many groups; a size that does not divide the processes is told as the fraction that it is."""
    return str(count // inner) if count % inner == 0 else f"{count}/{inner}"
