"""What a GGUF file says of its model, read without its weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from swift_core.contract.errors import SwiftError

MODEL_TYPES = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gemma3": "gemma3_text", "gpt-oss": "gpt_oss"}
"""GGUF's name of an architecture → the `model_type` of config.json, where they differ."""

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's number of a type → how `struct` reads it. 8 is a text, 9 a list."""


def gguf_of(model: str) -> Path | None:
    """The GGUF file that `model` is, or the one in a folder without config.json; None where there is none.

    SwiftError where a folder holds several.
    """
    path = Path(model)
    if path.suffix == ".gguf" and path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise SwiftError(
            f"The folder {model!r} holds several GGUF files ({names}). Say which: --model FOLDER/FILE.gguf"
        )
    return files[0] if files else None


def gguf_facts(file: Path) -> dict[str, Any]:
    """The pairs that stand before the list of tokens. SwiftError where the file is no GGUF file."""
    try:
        with file.open("rb") as stream:
            return _general(stream)
    except (struct.error, UnicodeDecodeError, ValueError, KeyError) as error:
        raise SwiftError(f"{file} is not a GGUF file that can be read: {error}") from None


def gguf_config(file: Path) -> dict[str, Any]:
    """`model_type` and `_name_or_path` as config.json has them. SwiftError where the file is no GGUF file."""
    facts = gguf_facts(file)
    name = str(facts.get("general.architecture", ""))
    return {"model_type": MODEL_TYPES.get(name, name), "_name_or_path": facts.get("general.name", "")}


def _general(stream: BinaryIO) -> dict[str, Any]:
    """The pairs that stand first, up to the first list."""
    if stream.read(4) != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    _, _, count = _read(stream, "IQQ")
    facts: dict[str, Any] = {}
    for _ in range(count):
        key = _text(stream)
        (kind,) = _read(stream, "I")
        if kind == 9:
            break
        facts[key] = _text(stream) if kind == 8 else _read(stream, SCALARS[kind])[0]
    return facts


def _text(stream: BinaryIO) -> str:
    (length,) = _read(stream, "Q")
    if length > 1 << 20:
        raise ValueError("a text in its header is too long")
    return stream.read(length).decode("utf-8")


def _read(stream: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(f"<{form}", stream.read(struct.calcsize(f"<{form}")))
