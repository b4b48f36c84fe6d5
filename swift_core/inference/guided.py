"""The form of answers that options ask for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from swift_core.contract.engine import Engine, Guide, Sampling
from swift_core.contract.errors import SwiftError
from swift_core.inference.conversation import ignored


def form_of(options: Any) -> Guide | None:
    """The form that `--guided_json`, `--guided_regex` or `--guided_choice` asks for.

    Raises SwiftError where more than one does, or the schema is no JSON object.
    """
    said = {name: value for name in ("json", "regex", "choice") if (value := getattr(options, f"guided_{name}"))}
    if len(said) > 1:
        raise SwiftError(f"Answers have one form: say one of {', '.join(f'--guided_{name}' for name in said)}.")
    for sort, value in said.items():
        text = _schema(value) if sort == "json" else value if sort == "regex" else json.dumps(value)
        return Guide(sort, text, field=f"--guided_{sort}")
    return None


@cache
def _schema(said: str) -> str:
    """A JSON schema as text, from text or a file."""
    try:
        text = said if said.lstrip().startswith("{") else Path(said).read_text(encoding="utf-8")
        if isinstance(json.loads(text), dict):
            return text
        why = "it is no object"
    except (OSError, ValueError) as error:
        why = str(error)
    raise SwiftError(f"--guided_json {said[:80]!r} is no JSON schema, and no file that holds one: {why}.")


def check_kept(engine: Engine, how: Sampling, backend: str) -> None:
    """SwiftError where the engine would ignore what a sampling says."""
    if names := ignored(engine, how):
        raise SwiftError(f"The backend {backend!r} does not know {', '.join(names)}; --backend transformers does.")
