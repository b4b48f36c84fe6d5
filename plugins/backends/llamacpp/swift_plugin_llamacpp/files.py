"""GGUF files of checkpoints and adapters, and tokenizers out of GGUF files: made once, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.api import run
from swift_core.catalogue.metadata_cache import cache_folder
from swift_core.contract.job import Job


def exported(job: Job, path: str, kind: str, beside: str | None) -> Path:
    """The GGUF file of the checkpoint in `path`. kind: a value of --gguf_type. beside: where it is written to be
    loaded once; None: into the cache.

    Its vocabulary is not for other programs: prompts come as token ids, so any rule that cuts text will do.
    """
    said = _said(job, path) | {"gguf_type": kind, "gguf_pre": "default"}

    def write(folder: Path) -> None:
        job.say(f"Writing {path} as GGUF for llama.cpp …")
        run("export", **said, output_dir=str(folder))

    folder = Path(beside, "gguf") if beside else kept_folder(path, said)
    if beside:
        write(folder)
    else:
        made_once(folder, write)
    return next(folder.glob("*.gguf"))


def exported_adapters(job: Job, path: str, named: dict[str, Any]) -> dict[str, Path]:
    """Adapter name → its GGUF adapter. named: name → tuners, as `adapters_by_name` gives them."""
    return {name: _adapter(job, path, name, items) for name, items in named.items()}


def _adapter(job: Job, path: str, name: str, items: list[Any]) -> Path:
    if len(items) > 1:
        raise SwiftError(f"llama.cpp serves plain LoRA adapters only, and {name!r} is none: say --merge_lora true.")
    said = _said(job, path) | {"adapters": [f"adapter={items[0].folder}"]}
    folder = kept_folder(items[0].folder, said)
    made_once(folder, lambda place: run("export", **said, output_dir=str(place)))
    return folder / "adapter.gguf"


def _said(job: Job, path: str) -> dict[str, Any]:
    """The options of an export that are those of the job."""
    names = ("model_type", "template", "torch_dtype", "trust_remote_code")
    return {"model": path, "to_gguf": True, "device": "cpu"} | {name: getattr(job.options, name) for name in names}


def read_tokenizer(job: Job, file: Path) -> str:
    """The folder with config and tokenizer of a GGUF file. SwiftError where transformers cannot read them."""

    def write(folder: Path) -> None:
        job.say(f"Reading the tokenizer of {file} …")
        folder.mkdir()
        _write_tokenizer(file, folder)

    folder = kept_folder(str(file), {})
    made_once(folder, write)
    return str(folder)


def _write_tokenizer(file: Path, folder: Path) -> None:
    import transformers
    from swift_plugin_runtime.loading.gguf import read_tokenizer as read_gguf_tokenizer

    try:
        config = transformers.AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
        tokenizer = read_gguf_tokenizer(file)
    except (ImportError, ValueError, OSError, KeyError, NotImplementedError) as error:
        raise SwiftError(
            f"transformers cannot read the tokenizer in {file}: {error}. Serve the checkpoint that it was made from."
        ) from None
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def kept_folder(source: str, said: dict[str, Any]) -> Path:
    """The place in the cache for what is made of a file or folder as it stands now, with these options."""
    path = Path(source)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    facts = repr((str(path.resolve()), stats, sorted(said.items()), version("swift-plugin-gguf")))
    return Path(cache_folder(), "llamacpp", hashlib.sha256(facts.encode()).hexdigest()[:16], path.stem)


def made_once(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make the folder, beside its place, unless it stands there."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        made = Path(place, "made")
        write(made)
        if not folder.is_dir():  # another process may have been faster
            os.replace(made, folder)
