"""Runs commands as whole processes, alternated, and compares what they used.

CPU seconds are taken rather than wall time: they say what the work cost, also on a machine that does other things.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass
class Used:
    """What one process used: CPU seconds (user and system), peak resident memory in MiB, its own report."""

    seconds: float
    peak: float
    report: dict[str, Any]


def run(command: list[str], **environment: str) -> Used:
    """Run a command to its end. Its last line of output may be a JSON object: its report."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{err.read().decode(errors='replace')[-3000:]}")
        lines = out.read().decode().strip().splitlines()
    report = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, report)


def alternate(commands: dict[str, list[str]], rounds: int, **environment: str) -> dict[str, list[Used]]:
    """Every command once per round, in turn, so that a busy spell of the machine meets all of them.

    One that fails is told of and left out of the result, unless it is the first, which the others are compared to.
    """
    found: dict[str, list[Used]] = {name: [] for name in commands}
    base = next(iter(commands))
    for number in range(rounds):
        for name in list(found):
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            try:
                found[name].append(run(commands[name], **environment))
            except SystemExit as failure:
                if name == base:
                    raise
                print(f"{failure}\n{name} is left out", file=sys.stderr, flush=True)
                del found[name]
    return found


def ratios(mine: list[float], base: list[float]) -> tuple[float, float, float]:
    """(least, median, greatest) of mine ÷ base, round by round."""
    pairs = sorted(a / b for a, b in zip(mine, base, strict=True))
    return pairs[0], statistics.median(pairs), pairs[-1]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of the same keys as a Markdown table."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[n]) for n in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: tuple[float, float, float]) -> str:
    """`median (least-greatest)`."""
    return f"{values[1]:.2f} ({values[0]:.2f}-{values[2]:.2f})"


def machine() -> dict[str, Any]:
    """What the figures were taken on: architecture, cores, Python; the libraries are the environment's."""
    return {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}


def report(title: str, rows: list[dict[str, Any]], raw: Any, out: str | None) -> None:
    """Print the table; write everything as JSON where `out` names a file."""
    print(f"\n{title}\n\n{table(rows)}")
    if out:
        Path(out).write_text(
            json.dumps({"on": machine(), "table": rows, "raw": raw}, indent=1, default=vars) + "\n", encoding="utf-8"
        )
        print(f"\nall figures: {out}")


def import_training() -> None:
    """Import what a training job needs, so that copies of this process (fork) need not."""
    import peft  # noqa: F401
    import swift_plugin_runtime.training.trainer  # noqa: F401
