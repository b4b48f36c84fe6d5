"""`python -m swift_testing.conformance [--jobs 2] [families…]`: prove families, write conformance.json.

With `--ranks`, two processes train steps in which one of them has a picture, video or sound and the other has none.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from typing import Any

from swift_core.catalogue.conformance import FILE
from swift_core.catalogue.entries import Catalogue, Entry
from swift_testing.conformance import LEVELS


def main() -> None:
    """Prove the named families, or for all, and merge what was found into the recorded results."""
    words = argparse.ArgumentParser(prog="python -m swift_testing.conformance", description=__doc__)
    words.add_argument("families", nargs="*", help="model types; left out: every installed family")
    words.add_argument("--jobs", type=int, default=2, help="children at a time")
    words.add_argument("--dry", action="store_true", help="print only, leave results.json as it is")
    words.add_argument("--ranks", action="store_true", help="two processes, of which one has a medium; one family "
                       "of each class, or those named")  # fmt: skip
    asked = words.parse_args()
    catalogue = Catalogue.installed()
    entries = [catalogue.find("model", n) for n in asked.families] or catalogue.of_kind("model")
    if asked.ranks:
        return record_ranks(entries, named=bool(asked.families), dry=asked.dry)
    results = run(entries, asked.jobs)
    if not asked.dry:
        write(results, whole=not asked.families)
    counts = Counter(r["level"] for r in results.values())
    print(", ".join(f"{counts[level]} {level}" for level in LEVELS), file=sys.stderr)


def run(entries: list[Entry], jobs: int) -> dict[str, dict[str, Any]]:
    """Family → result; one line on standard error for each as it comes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from swift_testing import libraries
    from swift_testing.conformance import texts
    from swift_testing.conformance.family_level import level_reached, stamp
    from swift_testing.conformance.mixed_ranks import kept
    from swift_testing.conformance.runner import each

    libraries.load()
    names = sorted({t for e in entries for t in e.load().checkpoints})
    templates = texts.check_all(names, jobs)
    results, made = {}, stamp()
    for entry, result in each(lambda e: level_reached(e, templates), entries, jobs):
        if "failed" in result:
            result = {"level": "template", "reason": result["failed"], "figures": {}}
        results[entry.name] = {**result, **made, **kept(entry.name)}
        print(f"{entry.name}: {result['level']}  {result['reason']}", file=sys.stderr, flush=True)
    return results


def record_ranks(entries: list[Entry], named: bool, dry: bool) -> None:
    """What two processes learn of mixed batches, of the named families or one of each class; recorded as it comes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from swift_testing import libraries
    from swift_testing.conformance import mixed_ranks
    from swift_testing.conformance.family_level import stamp

    libraries.load()
    two = mixed_ranks.Two()
    try:
        for entry in entries if named else mixed_ranks.one_of_each_class(entries):
            media = mixed_ranks.check_family(entry, two)
            told = (f"{m} {way}: {outcome}" for m, ways in media.items() for way, outcome in ways.items())
            print(f"{entry.name}: {'; '.join(told)}", file=sys.stderr, flush=True)
            if media and not dry:
                before = json.loads(FILE.read_text(encoding="utf-8"))[entry.name]
                write({entry.name: {**before, "ranks": {"media": media, **stamp()}}}, whole=False)
    finally:
        two.close()


def write(results: dict[str, dict[str, Any]], whole: bool) -> None:
    """Record the results; those of other families stay, unless this was a whole run."""
    before = {} if whole or not FILE.is_file() else json.loads(FILE.read_text(encoding="utf-8"))
    merged = dict(sorted({**before, **results}.items()))
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in merged.items())
    FILE.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
