"""Runs in llm-compressor's environment, without swift-core: `python worker.py WORK.json` quantizes a checkpoint."""

from __future__ import annotations

import json
import sys

from compressed_tensors.quantization import preset_name_to_scheme
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
from transformers import AutoModelForCausalLM

ROUNDED_BY_GPTQ = ("W4A16", "W8A8")


def main() -> None:
    """Load, calibrate on the rows, save."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        work = json.load(stream)
    model = AutoModelForCausalLM.from_pretrained(work["model"], dtype="auto")
    kind = GPTQModifier if work["scheme"] in ROUNDED_BY_GPTQ else QuantizationModifier
    scheme = preset_name_to_scheme(work["scheme"], ["Linear"])
    if work["group"]:
        scheme.weights.group_size = work["group"]
    recipe = [kind(config_groups={"group_0": scheme}, ignore=work["skip"])]
    rows = work["rows"]
    calibration = {
        "dataset": Dataset.from_list(rows),
        "num_calibration_samples": len(rows),
        "max_seq_length": max(len(row["input_ids"]) for row in rows),
    } if rows else {}  # fmt: skip
    oneshot(model=model, recipe=recipe, **calibration)
    model.save_pretrained(work["out"], save_compressed=True)


if __name__ == "__main__":
    main()
