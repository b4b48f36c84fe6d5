"""`python -m benchmarks.encode`: rows per CPU second from conversations to ids and labels, against the raw tokenizer.

raw: ids of `encode_batch_fast` on texts that are rendered already, no labels: the floor. spans: our ids and labels from
spans that are rendered already. whole: our encode hook, rendering included. template: transformers' batched
apply_chat_template with the assistant mask.

--pictures: rows with a picture each instead. raw: the picture opened, the model's own image processor, and ids of texts
that are rendered and lengthened already; processor: transformers' processor on texts that are rendered.

--processes N: instead, how much sooner N processes have encoded all rows than one; that takes N idle cores.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import HERE, ratios, report, run, spread

TOGETHER = 64


def prepared(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(an sft job with these options, its rows, its tokenizer or processor)."""
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import load_processor
    from swift_core.jobs.train import load_data

    job = prepare("sft", [Given(k, v, "benchmark") for k, v in given.items()])
    config = job.hook.load_config(job=job, path=given["model"])
    return job, load_data(job)[0], load_processor(job, given["model"], config)


def contestants(folder: Path) -> tuple[dict[str, Callable[[], Any]], int]:
    """Name → one pass over all rows, and how many rows that is."""
    from swift_core.templates.encode import encode_spans
    from swift_core.templates.render import spans_of

    given = {"model": str(folder / "model"), "dataset": [str(folder / "rows.jsonl")], "template": "chatml"}
    job, rows, tokenizer = prepared(given)
    groups = [rows[n : n + TOGETHER] for n in range(0, len(rows), TOGETHER)]
    spans = [[spans_of(job, row, tokenizer) for row in group] for group in groups]
    texts = [["".join(s.text for s in row) for row in group] for group in spans]
    talks = [[row.messages for row in group] for group in groups]
    raw = tokenizer.backend_tokenizer

    def templated(group: list[Any]) -> Any:
        return tokenizer.apply_chat_template(group, return_assistant_tokens_mask=True, return_dict=True)

    return {
        "raw": lambda: [[e.ids for e in raw.encode_batch_fast(group, add_special_tokens=False)] for group in texts],
        "spans": lambda: [encode_spans(tokenizer, group) for group in spans],
        "whole": lambda: [job.hook.encode(job=job, rows=g, processor=tokenizer, generation=False) for g in groups],
        "template": lambda: [templated(group) for group in talks],
    }, len(rows)


def with_pictures(folder: Path, count: int) -> tuple[dict[str, Callable[[], Any]], int]:
    """The same for rows with one picture of 28 to 112 pixels, and a tiny Qwen2-VL."""
    import numpy
    from PIL import Image
    from swift_testing.tiny import tiny_qwen2_vl

    chance, rows = numpy.random.default_rng(0), []
    for number in range(count):
        size, file = chance.integers(28, 113, 2), folder / f"{number}.png"
        Image.fromarray(chance.integers(0, 256, (*size, 3), dtype="uint8")).save(file)
        rows.append({"query": f"<image>What is number {number}?", "response": "Noise.", "images": [str(file)]})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = tiny_qwen2_vl(folder / "model", pixels=(28 * 28, 112 * 112))
    job, loaded, processor = prepared({"model": model, "dataset": [str(folder / "rows.jsonl")], "template": "qwen2_vl"})
    raw = processor.tokenizer.backend_tokenizer

    def whole() -> Any:
        return [job.hook.encode(job=job, rows=[row], processor=processor, generation=False)[0] for row in loaded]

    texts = [processor.tokenizer.decode(item["input_ids"]) for item in whole()]
    files = [row["images"][0] for row in rows]

    def floor() -> None:
        for file, text in zip(files, texts, strict=True):
            processor.image_processor(images=[Image.open(file).convert("RGB")], return_tensors="pt")
            raw.encode_batch_fast([text], add_special_tokens=False)

    short = [re.sub(r"(<\|image_pad\|>)+", r"\1", text) for text in texts]

    def by_processor() -> None:
        for file, text in zip(files, short, strict=True):
            processor(images=[Image.open(file).convert("RGB")], text=[text], return_tensors="pt")

    return {"raw": floor, "processor": by_processor, "whole": whole}, count


def scaling(folder: Path, processes: int, rounds: int) -> list[dict[str, Any]]:
    """Wall seconds of encoding all rows on one process and on several, by turns."""
    from swift_plugin_runtime.encoding.datasets import encode_rows

    said = {"model": str(folder / "model"), "dataset": [str(folder / "rows.jsonl")], "template": "chatml"}
    found: dict[int, list[float]] = {1: [], processes: []}
    for _ in range(rounds):
        for count, seconds in found.items():
            job, rows, tokenizer = prepared({**said, "dataset_num_proc": count, "cache_dataset": False})
            begun = time.perf_counter()
            encode_rows(job, rows, tokenizer)
            seconds.append(time.perf_counter() - begun)
    return [
        {"processes": n, "wall s": f"{statistics.median(s):.2f}", "x one": spread(ratios(found[1], s))}
        for n, s in found.items()
    ]


def main() -> None:
    """Alternate the contestants and print rows per CPU second and the ratio to the raw tokenizer."""
    from swift_plugin_runtime.encoding.forked import settled_heap

    parser = argparse.ArgumentParser(prog="python -m benchmarks.encode", description=__doc__)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", action="store_true", help="Rows with a picture each.")
    parser.add_argument("--processes", type=int, default=1, help="Compare one process with so many.")
    parser.add_argument("--out", help="JSON file for all figures.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if not arguments.pictures:
            run([sys.executable, str(HERE / "train" / "material.py"), place, str(arguments.rows)])
        if arguments.processes > 1:
            return report("Encoding", scaling(Path(place), arguments.processes, arguments.rounds), {}, arguments.out)
        made = with_pictures(Path(place), arguments.rows) if arguments.pictures else contestants(Path(place))
        passes, count = made
        seconds: dict[str, list[float]] = {name: [] for name in passes}
        with settled_heap():  # as our jobs encode
            for number in range(arguments.rounds + 1):
                for name, work in passes.items():
                    begun = time.process_time()
                    work()
                    if number:  # the first round fills caches
                        seconds[name].append(time.process_time() - begun)
    rows = []
    for name, mine in seconds.items():
        pairs = sorted(raw / own for raw, own in zip(seconds["raw"], mine, strict=True))
        figures = spread((pairs[0], statistics.median(pairs), pairs[-1]))
        rows.append({"contestant": name, "rows per CPU s": round(count / statistics.median(mine)), "x raw": figures})
    report(f"Encoding of {count} rows", rows, seconds, arguments.out)


if __name__ == "__main__":
    import os

    os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    sys.exit(main())
