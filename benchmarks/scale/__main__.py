"""`python -m benchmarks.scale`: cost against size.

rows: encoding and packing; length: a training step; plugins: a list and a checkpoint's id; adapters: serving;
sequence: what a process holds of rows that several share; loading: what it takes to read a model that several split.
Prints the slopes; `--out FOLDER` gets figures.json and scale.png. A subject is one line in SUBJECTS.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.scale import adapters, length, loading, plugins, rows, sequence
from benchmarks.scale.fit import Curve, draw

SUBJECTS = {
    "rows": rows.curves,
    "length": length.curves,
    "plugins": plugins.curves,
    "adapters": adapters.curves,
    "sequence": sequence.curves,
    "loading": loading.curves,
}


def main() -> None:
    """Measure the chosen subjects and say how each curve grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("subjects", nargs="*", help=f"Of {', '.join(SUBJECTS)}; left out: all.")
    parser.add_argument("--out", help="Folder for figures.json and scale.png.")
    parser.add_argument("--largest", type=int, help="Leave larger sizes out.")
    arguments = parser.parse_args()
    found: list[Curve] = []
    for name in arguments.subjects or SUBJECTS:
        found += SUBJECTS[name](arguments.largest or 10**9)
    for curve in found:
        print(f"{curve.title}: slope {curve.slope():.2f}, theory: {curve.theory}")
    if arguments.out:
        folder = Path(arguments.out)
        folder.mkdir(parents=True, exist_ok=True)
        figures = {"on": machine(), "curves": [{**vars(c), "slope": c.slope()} for c in found]}
        (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        draw(found, folder / "scale.png")


if __name__ == "__main__":
    main()
