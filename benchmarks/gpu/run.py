"""One GPU in eight minutes: its tests, training with the settings of the SWIFT paper's Table 3, answers.

    python3 benchmarks/gpu/run.py                          # on the machine, from an unpacked `make gpu-bundle`
    python3 benchmarks/gpu/run.py --device cpu --small     # the same stages on a CPU, with a tiny model

Each stage is a process of its own with a time limit; one that fails is a line of the table with the reason, and the
others go on. Writes results.json and results.md. This file needs nothing but Python: it unpacks the wheels that the
machine lacks into a folder of their own, and leaves the machine's packages as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

TOTAL = 460
"""Seconds that all stages have together; the rest of eight minutes is for unpacking and writing."""

STAGES: dict[str, int] = {
    "material": 90,
    "tests": 90,
    "lora, swift": 60,
    "lora, transformers + peft": 60,
    "qlora, swift": 60,
    "qlora, transformers + peft": 60,
    "full, swift": 75,
    "full, transformers": 75,
    "answers, swift": 60,
    "answers, transformers": 60,
    "lora, swift, liger": 60,
    "lora, swift, flash_attention_2": 60,
    "lora, transformers + peft, flash_attention_2": 60,
}
"""Stage → the seconds that it may take, in the order of running: what matters most comes first."""

ON_CPU = 10
"""How many times as long a stage may take on a CPU, where the script itself is tried."""

COLUMNS = {
    "stage": "{name}",
    "seconds": "{seconds:.0f}",
    "tokens/s": "{tokens_per_second:.0f}",
    "rows/s": "{rows_per_second:.2f}",
    "peak, GiB": "{peak_gib:.2f}",
    "trained (M)": "{trained_millions:.2f}",
    "loss": "{first_loss:.2f} → {last_loss:.2f}",
    "result": "{result}",
}
"""Column of the table → how a stage's figures are written in it; empty where it has none of them."""

FAULT = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt)\b|FAILED |E  ")
"""How a line begins that names an error."""


@dataclass
class Stage:
    """What came of one stage. seconds: wall time of its process. figures: what it measured. result: ok, or why not."""

    name: str
    seconds: float
    result: str
    figures: dict[str, Any] = field(default_factory=dict)

    def cells(self) -> list[str]:
        """The stage's line of the table."""
        known = {**self.figures, "name": self.name, "seconds": self.seconds, "result": self.result}
        return [_written(form, known) for form in COLUMNS.values()]


def _written(form: str, known: dict[str, Any]) -> str:
    try:
        return form.format(**known).replace("|", "/")
    except KeyError:
        return ""


def run(name: str, command: list[str], limit: float, log: Path, **environment: str) -> Stage:
    """Run a stage to its end, or for `limit` seconds. Its last line of output is a JSON object with its figures.

    The object's `result`, where it has one, is the stage's. All that it writes goes into `log`.
    """
    if limit < 1:
        return Stage(name, 0, "not run: no time is left")
    begun = time.monotonic()
    with log.open("w+", encoding="utf-8", errors="replace") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **environment},
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return Stage(name, time.monotonic() - begun, f"stopped: over its {limit:.0f} s")
        stream.seek(0)
        lines = [line.strip() for line in stream if line.strip()]
    seconds = time.monotonic() - begun
    if code:
        return Stage(name, seconds, f"failed: {reason(lines)} (exit code {code}, {log.name})")
    figures = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Stage(name, seconds, figures.pop("result", "ok"), figures)


def reason(lines: list[str]) -> str:
    """Why a process failed, as its log says best: the last line that begins with an error's name, else the last."""
    told = [line for line in lines if FAULT.match(line)] or lines[-1:]
    return (told[-1] if told else "it said nothing")[:240]


def table(stages: list[Stage]) -> str:
    """The stages as a Markdown table."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *(stage.cells() for stage in stages)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def unpack(wheels: Path, site: Path) -> list[str]:
    """Unpack the wheels that this Python lacks, or has in an older version, into `site`; returns the others' names."""
    from packaging.version import Version  # transformers brings it

    there = {_plain(d.metadata["Name"] or ""): d.version for d in distributions()}
    kept = []
    for wheel in sorted(wheels.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        if Version(there.get(_plain(name), "0")) >= Version(version):
            kept.append(_plain(name))
            continue
        with zipfile.ZipFile(wheel) as files:
            files.extractall(site)
    return kept


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def machine() -> dict[str, Any]:
    """Date, machine and the versions that decide."""
    names = ("torch", "transformers", "accelerate", "peft", "bitsandbytes", "liger-kernel", "flash-attn", "triton")
    found = {_plain(d.metadata["Name"] or ""): d.version for d in distributions()}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "versions": {name: found.get(name, "not there") for name in names},
    }


def _gpu() -> str:
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.strip() or "none"
    except OSError:
        return "none"


def command_of(name: str, asked: argparse.Namespace, folder: Path) -> list[str]:
    """The process of a stage."""
    if name == "tests":
        return [sys.executable, "-m", "benchmarks.gpu.tested", asked.device]
    small = ["--small"] if asked.small else []
    return [sys.executable, "-m", "benchmarks.gpu.stages", name, str(folder), asked.device, *small]


def write(out: Path, on: dict[str, Any], stages: list[Stage]) -> str:
    """results.json and results.md in `out`; returns the latter's text."""
    (out / "results.json").write_text(
        json.dumps({"on": on, "stages": [asdict(s) for s in stages]}, indent=1) + "\n", encoding="utf-8"
    )
    versions = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
    where = f"{on['date']}, GPU: {on['gpu']}; {on['cores']} cores, Python {on['python']}; {versions}."
    said = f"{where}\n\n{table(stages)}\n"
    (out / "results.md").write_text(said, encoding="utf-8")
    return said


def main() -> None:
    """Run the stages, and write what came of them after each, so that a machine that goes away leaves the others."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true", help="a model of some hundred thousand weights, short rows")
    parser.add_argument("--wheels", type=Path, default=ROOT.parent / "wheels", help="those of the bundle")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for results and logs")
    parser.add_argument("--folder", type=Path, help="where the model goes (16 GB); left out, a temporary folder")
    parser.add_argument("--seconds", type=float, default=TOTAL, help="for all stages together")
    parser.add_argument("--only", nargs="*", help="stages; material is always made")
    asked = parser.parse_args()
    end = time.monotonic() + asked.seconds
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        site = Path(place, "site")
        unpack(asked.wheels, site)
        sys.path.insert(0, str(site))
        path = os.pathsep.join([str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        on, stages = machine(), []
        for name, limit in STAGES.items():
            if asked.only and name not in ("material", *asked.only):
                continue
            log = asked.out / f"{name.replace(', ', '-').replace(' + ', '-').replace(' ', '-')}.log"
            left = min(limit * (1 if asked.device == "cuda" else ON_CPU), end - time.monotonic())
            command = command_of(name, asked, Path(place))
            stages.append(run(name, command, left, log, PYTHONPATH=path, HF_HUB_OFFLINE="1", XDG_CACHE_HOME=place))
            print(" | ".join(stages[-1].cells()), flush=True)
            said = write(asked.out, on, stages)
    print(f"\n{said}\n{asked.out}/results.md and results.json")


if __name__ == "__main__":
    main()
