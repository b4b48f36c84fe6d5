"""Runs in GPTQModel's environment, without swift-core: `python worker.py WORK.json` quantizes a checkpoint."""

from __future__ import annotations

import json
import os
import sys

CPUS = max(8, os.cpu_count() or 1)
os.cpu_count = lambda: CPUS  # GPTQModel shares out more workers than a small machine has cores, and stops

import torch  # noqa: E402
from gptqmodel import BACKEND, GPTQModel, QuantizeConfig  # noqa: E402
from gptqmodel.quantization.config import FORMAT, METHOD  # noqa: E402


def main() -> None:
    """Load, calibrate on the rows, save."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        work = json.load(stream)
    gpu = torch.cuda.is_available()
    settings = dict(work["settings"])
    if work["method"] == "awq":
        settings |= {"quant_method": METHOD.AWQ, "format": FORMAT.GEMM}
    model = GPTQModel.load(work["model"], QuantizeConfig(**settings), device="cuda:0" if gpu else "cpu")
    arguments = {"backend": BACKEND.AWQ_TORCH} if work["method"] == "awq" and not gpu else {}
    model.quantize(work["rows"], batch_size=1, **arguments)
    model.save(work["out"])


if __name__ == "__main__":
    main()
