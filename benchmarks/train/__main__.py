"""`python -m benchmarks.train`: one pass over the same rows by us, by the limit loop and by each peer, in turn.

On models of several shapes and rows of several profiles of length (`material.py`). What is measured is kept in
--folder: the command begun again goes on with what is left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.environment import interpreter
from benchmarks.kept import Kept
from benchmarks.measure import HERE, Used, alternate, machine, ratios, run, spread, table
from benchmarks.train.material import MODELS, PROFILES, REAL

SCRIPTS = HERE / "train"
PEERS = {
    "trainer": ("transformers", "peers.py", "trainer"),
    "flattening": ("transformers", "peers.py", "flattening"),
    "trl": ("trl", "peers.py", "trl"),
    "trl-free": ("trl", "peers.py", "trl-free"),
    "ms-swift": ("ms-swift", "apart/ms_swift.py"),
    "llamafactory": ("llamafactory", "apart/llamafactory.py"),
}
"""Peers: the environment, which is made when it is first asked for, the script, and its own argument."""


def command(name: str, folder: Path, mode: str, batch: int) -> list[str]:
    """The command line of a contestant."""
    arguments = [str(folder), mode, str(batch)]
    if name in PEERS:
        environment, script, *own = PEERS[name]
        return [str(interpreter(environment)), str(SCRIPTS / script), *own, *arguments]
    return [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments]


def cost(used: Used) -> float:
    """CPU seconds per 1,000 real tokens, from the end of the first step to the end of training."""
    steps = used.report["steps"]
    tokens = used.report["tokens"] * (steps - 1) / steps
    return float(used.report["steps_seconds"]) / tokens * 1000


def compare(found: dict[str, list[Used]]) -> list[dict[str, str]]:
    """A row per contestant: cost and ratios to the limit, and its cost over ours, median and range over the rounds."""
    base = found["limit"]
    limits, ours = [cost(u) for u in base], [cost(u) for u in found["swift"]]
    rows = []
    for name, runs in found.items():
        costs = [cost(u) for u in runs]
        peaks = ratios([u.report["peak"] for u in runs], [u.report["peak"] for u in base])
        starts = ratios([u.report["to_first_step"] for u in runs], [u.report["to_first_step"] for u in base])
        figures = {"CPU s per 1k tokens": f"{sorted(costs)[len(costs) // 2]:.3f}"}
        figures |= {"x limit": spread(ratios(costs, limits)), "peak x limit": spread(peaks)}
        figures |= {"first step x limit": spread(starts), "x swift": spread(ratios(costs, ours))}
        rows.append({"contestant": name, **figures})
    return rows


def compared(model: str, profile: str, asked: argparse.Namespace) -> list[dict[str, str]]:
    """The rows of the table for one model and profile, measured now; `error` stands in one where that failed."""
    names = ["limit", "swift", *asked.peers]
    with tempfile.TemporaryDirectory() as place:
        material = [str(SCRIPTS / "material.py"), place, str(asked.rows[profile]), model, profile]
        run([sys.executable, *material])
        commands = {name: command(name, Path(place), asked.mode, asked.batch) for name in names}
        found = alternate(commands, asked.rounds, OMP_NUM_THREADS="1")
    return [{"model": model, "rows": profile, **row} for row in compare(found)]


def main() -> None:
    """Build the material, run everybody, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.add_argument("--mode", choices=("lora", "full"), default="lora")
    parser.add_argument("--models", nargs="*", choices=[REAL, *MODELS], default=[REAL, *MODELS])
    parser.add_argument("--profiles", nargs="*", choices=PROFILES, default=list(PROFILES))
    parser.add_argument("--rows", nargs="*", type=int, default=[96, 48, 16], help="Rows of each profile.")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--folder", type=Path, default=Path("output/train"))
    asked = parser.parse_args()
    asked.rows = dict(zip(PROFILES, asked.rows, strict=True))
    asked.folder.mkdir(parents=True, exist_ok=True)
    settings = {key: getattr(asked, key) for key in ("rows", "batch", "rounds", "peers")}
    kept = Kept(asked.folder / f"{asked.mode}.json", {**settings, "on": machine()})
    for profile in asked.profiles:
        for model in asked.models:
            key = f"{model}, {profile}"
            kept.once(key, lambda m=model, p=profile: {"rows": compared(m, p, asked)})
    text = table([row for line in kept.lines.values() for row in line["rows"]])
    (asked.folder / f"{asked.mode}.md").write_text(text + "\n", encoding="utf-8")
    print(f"\nTraining, {asked.mode}, batch {asked.batch}\n\n{text}\n\nFigures: {kept.file}")


if __name__ == "__main__":
    main()
