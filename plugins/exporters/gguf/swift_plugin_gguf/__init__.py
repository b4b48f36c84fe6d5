"""GGUF: a checkpoint as one file for llama.cpp and what builds on it (github.com/ggml-org/ggml, docs/gguf.md).

The package gguf, which llama.cpp's authors keep, knows the format, the names of tensors and the types of numbers. What
a family needs beside that is a row of a table (`architectures.py`), and how a tokenizer is written is read from its own
structure (`vocabulary.py`). What llama.cpp would compute or cut otherwise is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Exporter
from swift_core.contract.job import Job
from swift_core.jobs.steps import adapters_by_name, load_model, load_processor
from swift_core.jobs.writing import source_of, writing


@dataclass(kw_only=True, eq=False)
class Gguf(Exporter):
    """Writes one GGUF file for llama.cpp, Ollama and their like; of adapters, one GGUF adapter each."""

    swift_api = 1
    capabilities = {"image": Unsupported("The file holds a language model; parts that see have another file there.")}

    gguf_type: Literal["auto", "f32", "f16", "bf16", "q8_0"] = option(
        "auto", "How weights are written; auto: in the checkpoint's own precision. Norms are always f32."
    )

    gguf_pre: str | None = option(
        None, "llama.cpp's name of the rule that cuts text into words; left out, the tokenizer's own is looked up."
    )

    @hookimpl
    def export_model(self, job: Job) -> str:
        from swift_plugin_gguf.architectures import architecture_of

        path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
        config = job.hook.load_config(job=job, path=path)
        architecture_of(config)  # refused before any weight is read
        adapters = adapters_by_name(job)
        with writing(job, "gguf") as place:
            if adapters:
                self._adapters(job, adapters, config, place.staging)
            else:
                self._model(job, path, config, place.staging)
            job.write_lock(place.staging)
        return str(place.final)

    def _model(self, job: Job, path: str, config: Any, folder: Path) -> None:
        from swift_plugin_gguf.architectures import architecture_of
        from swift_plugin_gguf.files import own_type, write_model
        from swift_plugin_gguf.vocabulary import vocabulary_of

        processor = load_processor(job, path, config)
        vocabulary = vocabulary_of(
            getattr(processor, "tokenizer", processor), config.get_text_config().vocab_size, self.gguf_pre
        )
        for note in vocabulary.notes:
            job.say(note)
        model, processor = load_model(job)
        if getattr(model, "is_quantized", False):
            raise SwiftError(
                "The weights of this checkpoint are quantized already. Export the one that it was made from."
            )
        kind = own_type(model) if self.gguf_type == "auto" else self.gguf_type
        name = source_of(job).name
        file = folder / f"{name}-{kind}.gguf"
        write_model(job, file, name, architecture_of(config), model, processor, vocabulary, kind)

    def _adapters(self, job: Job, adapters: dict[str, Any], config: Any, folder: Path) -> None:
        from swift_plugin_gguf.adapters import write_adapter

        for name, items in adapters.items():
            if len(items) > 1:
                raise SwiftError(f"{name!r} is several adapters in one; a GGUF adapter is one LoRA. --merge_lora true.")
            write_adapter(folder / f"{name}.gguf", name, Path(items[0].folder), config, self.gguf_type)
        job.say(
            f"Written as adapters beside their base model: {', '.join(adapters)}. Into one file: --merge_lora true."
        )
