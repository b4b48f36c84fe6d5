"""The jobs that are counted. `python -m benchmarks.smoke.subjects NAME FOLDER` prints what one of them did, as JSON.

Each runs in a process of its own on a tiny random model, on the CPU, with one thread, in float32.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.smoke.counting import counting, modules

WORDS = "blue green seven apples walk quietly home before the rain begins again tomorrow".split()
STEPS = 2


def _text(number: int, length: int) -> str:
    return " ".join(WORDS[(number * 5 + place * 3) % len(WORDS)] for place in range(length))


CHATS = [{"query": _text(n, 4 + n % 3), "response": _text(n + 1, 6 + 2 * (n % 4))} for n in range(8)]
PAIRS = [{**row, "rejected_response": _text(n + 2, 5 + n % 3)} for n, row in enumerate(CHATS)]
LABELLED = [{**row, "label": n % 2 == 0} for n, row in enumerate(CHATS)]
ASKED = [{"query": row["query"]} for row in CHATS[:4]]
ROWS = {"chats": CHATS, "pairs": PAIRS, "labelled": LABELLED, "asked": ASKED}


def write(folder: Path) -> None:
    """The model and the rows of all subjects."""
    from swift_testing.tiny import tiny_qwen2

    tiny_qwen2(folder / "model", [" ".join(WORDS)] * 20, num_hidden_layers=2)
    for name, rows in ROWS.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def _said(folder: Path, rows: str, **more: Any) -> dict[str, Any]:
    return {
        "model": str(folder / "model"), "template": "chatml", "dataset": [str(folder / f"{rows}.jsonl")],
        "device": "cpu", "torch_dtype": "float32", **more,
    }  # fmt: skip


def _trained(job: str, rows: str, **options: Any) -> Callable[[Path], None]:
    """A run of two steps with two rows each."""

    def work(folder: Path) -> None:
        from swift_core import run

        usual = {"tuner": ["lora"], "per_device_train_batch_size": 2, "max_steps": STEPS, "dataset_num_proc": 1}
        run(job, **_said(folder, rows, output_dir=tempfile.mkdtemp(dir=folder), **{**usual, **options}))

    return work


def _infer(folder: Path) -> None:
    from swift_core import run

    out = str(folder / "answers.jsonl")
    run("infer", **_said(folder, "asked", max_new_tokens=6, temperature=0.0, max_batch_size=1, result_path=out))


def _together(folder: Path) -> None:
    """An engine answers four requests at once."""
    from swift_core.contract.engine import Request
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare

    said = {k: v for k, v in _said(folder, "asked").items() if k != "dataset"}
    job = prepare("infer", [Given(k, v, "benchmark") for k, v in said.items()])
    engine = job.hook.start_engine(job=job)
    texts = [[{"role": "user", "content": row["query"]}] for row in ASKED]
    engine.generate([Request.of(text, max_new_tokens=6, temperature=0.0) for text in texts])
    engine.close()


def _served(folder: Path) -> None:
    """`swift deploy` answers two requests over HTTP, one after the other, and is stopped."""
    import urllib.request

    def ask(url: str) -> None:
        said = {"model": "model", "messages": [{"role": "user", "content": "blue"}], "max_tokens": 6, "temperature": 0}
        data, kind = json.dumps(said).encode(), {"Content-Type": "application/json"}
        for _ in range(2):
            urllib.request.urlopen(urllib.request.Request(f"{url}/v1/chat/completions", data, kind)).read()

    deployed(folder, ask)


def deployed(folder: Path, ask: Callable[[str], None]) -> None:
    """`swift deploy`, which is stopped when `ask` has returned; `ask` gets its address as soon as it answers."""
    import os
    import signal
    import socket
    import threading

    from swift_core import run

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def client() -> None:
        try:
            ask(_ready(f"http://127.0.0.1:{port}"))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    said = {k: v for k, v in _said(folder, "asked").items() if k != "dataset"}
    run("deploy", host="127.0.0.1", port=port, served_model_name="model", **said)
    thread.join()


def _ready(url: str) -> str:
    """The address, once a server answers there."""
    import time
    import urllib.error
    import urllib.request

    while True:
        try:
            with urllib.request.urlopen(f"{url}/health"):
                return url
        except urllib.error.URLError:
            time.sleep(0.1)


def _encode(folder: Path) -> None:
    from benchmarks.encode import prepared

    job, rows, tokenizer = prepared(_said(folder, "chats"))
    job.hook.encode(job=job, rows=rows, processor=tokenizer, generation=False)


def _command(*words: str) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        from swift_core.cli import _run

        _run(list(words))

    return work


SUBJECTS: dict[str, Callable[[Path], None]] = {
    "sft full": _trained("sft", "chats", tuner=["full"]),
    "sft lora": _trained("sft", "chats"),
    "dpo": _trained("rlhf", "pairs", rlhf_type="dpo"),
    "kto": _trained("rlhf", "labelled", rlhf_type="kto"),
    "grpo": _trained(
        "rlhf", "asked", rlhf_type="grpo", reward=["repetition"], num_generations=2, max_completion_length=6
    ),
    "infer": _infer,
    "answers together": _together,
    "deploy": _served,
    "encode": _encode,
    "sft --help": _command("sft", "--help"),
    "list": _command("list"),
}

WITHOUT_TORCH = {"sft --help", "list"}


def main(name: str, folder: Path) -> None:
    """Do one subject's work, and tell all counts as `[kind, detail, number]`."""
    before = set(sys.modules)
    if name in WITHOUT_TORCH:
        SUBJECTS[name](folder)
        found = modules(before)
    else:
        with counting() as found:
            SUBJECTS[name](folder)
        found |= modules(before)
    print("\n" + json.dumps([[*key, number] for key, number in sorted(found.items())]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
