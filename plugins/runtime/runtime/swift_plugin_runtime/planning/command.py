"""`swift plan JOB WORDS`: what a job will take. The words of the job, and those of `PlanOptions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from swift_plugin_runtime.planning.layout import Layout
    from swift_plugin_runtime.planning.plan import Plan

app = typer.Typer(invoke_without_command=True)
GIB = 2**30


WORDS = typer.Argument(
    ...,
    help="A job and its options as on its own command line; further --devices N, --memory_gib G of each, "
    "--tokens_per_second S of each, --interconnect GB/s, --tensor N, --pipeline N, --interleave N, --json.",
)


@app.callback(context_settings={"ignore_unknown_options": True})
def plan(words: list[str] = WORDS) -> None:
    """Predict what a job takes: memory by part, steps, tokens, time, disk. Reads no weights."""
    import json

    from swift_core.cli.work import given_by
    from swift_plugin_runtime.planning.plan import as_data, planned, separate

    own, given = separate(given_by(words[1:]))
    found = planned(words[0], given, own)
    print(json.dumps(as_data(found), indent=1) if own.json else "\n".join(lines_of(found)))


def lines_of(found: Plan) -> list[str]:
    """The plan as text."""
    memory, layout = found.memory, found.layout
    lines = [
        f"swift {found.job}: {memory.parameters / 1e6:,.1f} M parameters, {memory.trained / 1e6:,.1f} M of them train"
    ]
    lines += [f"  {line}" for line in (*memory.said, *found.said)]
    lines += ["", f"memory of each of {layout.devices} devices ({shared(layout)})" if layout.devices > 1 else "memory"]
    lines += [f"  {name:18}{size / GIB:9.2f} GiB" for name, size in memory.parts.items()]
    lines += [f"  {'at most':18}{memory.total / GIB:9.2f} GiB, {found.free / GIB:.2f} GiB are there"]
    if memory.total > found.free:
        lines += [f"  does not fit{': try' if found.tries else ', and nothing that swift plan tries does'}"]
        lines += [f"    {words}   ({size / GIB:.2f} GiB)" for words, size in found.tries]
    lines += ["", *work_lines(found)]
    return lines


def work_lines(found: Plan) -> list[str]:
    """Rows, steps, tokens, time and disk, of what is known."""
    work = found.work
    known = {
        "rows": work.rows and f"{work.rows:,}",
        "tokens a row": work.mean and f"{work.mean:,.0f}, at most {work.longest:,}",
        "steps": work.steps and f"{work.steps:,}",
        "tokens": work.tokens and f"{work.tokens:,}",
        "sent in a step": found.sent and sent_line(found),
        "idle in a pipeline": found.bubble and f"{found.bubble:.1%} of a step",
        "time": found.seconds and f"{found.seconds / 3600:,.2f} h",
        "disk": found.disk and f"{found.disk / GIB:,.2f} GiB in {found.checkpoints} checkpoints",
    }
    return [f"{name:20}{value}" for name, value in known.items() if value]


def shared(layout: Layout) -> str:
    """How devices share the work, in words."""
    split = {"tensor": layout.tensor, "pipeline": layout.pipeline}
    return " × ".join(
        [*(f"{name} {size}" for name, size in split.items() if size > 1), f"{layout.replicas} {layout.split}"]
    )


def sent_line(found: Plan) -> str:
    """What a device sends in a step, and how long that takes."""
    each = {name: size for name, size in vars(found.sent).items() if size}
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in each.items())
    time = f"; {found.sending:.2f} s if nothing overlaps" if found.sending else ""
    return f"{found.sent.total / GIB if found.sent else 0:.2f} GiB by each device ({parts}){time}"
