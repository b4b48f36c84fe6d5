"""`swift demo`: the whole pipeline on a small model of random weights, with nothing to download.

A Qwen2-type model starts from random weights. Full fine-tuning teaches it to write numbers in words; then
LoRA, on top and with those weights frozen, teaches it to read them backwards. The adapter is merged, the merged model
served, and asked one question through the OpenAI client. Answers are measured on numbers it never saw.

`swift demo --real` does the same with a real model, SmolLM2-135M-Instruct, and exports it too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

from swift_core import SwiftError

app = typer.Typer(invoke_without_command=True)


@app.callback()
def demo(
    folder: str = typer.Option("swift-demo", help="Where everything is written; made anew."),
    port: int = typer.Option(0, help="Port of the server; 0: any free one."),
    real: bool = typer.Option(False, "--real", help="Take a real model, SmolLM2-135M-Instruct out of a package."),
) -> None:
    """Train, merge, serve and ask a small model built on the spot, in a few minutes."""
    place = Path(folder)
    if real:
        from swift_plugin_demo.real import packaged, run_real

        model = packaged()
        _clear(place)
        run_real(place, port, model)
    else:
        from swift_plugin_demo.built import run_built

        _clear(place)
        run_built(place, port)


def _clear(place: Path) -> None:
    if place.exists() and not (place / "data").is_dir():
        raise SwiftError(f"{place} exists and was not made by the demo; choose another --folder.")
    shutil.rmtree(place, ignore_errors=True)
