"""Prints the table of benchmarks. In its environment: `ENV/bin/python names.py > benchmarks.tsv`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

CATEGORIES = {"llm": "text", "vlm": "image", "agent": "agent", "aigc": "picture"}
MEDIA = {"Audio": "audio", "SpeechRecognition": "audio", "TextToSpeech": "speech", "Video": "video"}
"""Tags that tell more than the category."""


def modality_of(meta: dict[str, Any]) -> str:
    """What the model reads; where it draws or speaks, `picture` or `speech`."""
    for tag, modality in MEDIA.items():
        if tag in meta["tags"] and meta["category"] in ("llm", "vlm"):
            return modality
    return "image" if "MultiModal" in meta["tags"] and meta["category"] == "llm" else CATEGORIES[meta["category"]]


def main() -> None:
    """Name, modality, title, split with the examples, split that is asked, subsets; one benchmark a line."""
    spec = importlib.util.find_spec("evalscope")
    assert spec is not None and spec.origin is not None  # this is EvalScope's environment
    folder = Path(spec.origin).with_name("benchmarks")
    print("name", "modality", "title", "examples", "asked", "subsets", sep="\t")
    for name in sorted(json.loads((folder / "_index.json").read_text(encoding="utf-8"))):
        meta = json.loads((folder / "_meta" / f"{name}.json").read_text(encoding="utf-8"))["meta"]
        title = " ".join(meta["pretty_name"].split())
        subsets = " ".join(meta["subset_list"]) if all(" " not in s for s in meta["subset_list"]) else ""
        print(name, modality_of(meta), title, meta["train_split"] or "", meta["eval_split"] or "", subsets, sep="\t")


if __name__ == "__main__":
    main()
