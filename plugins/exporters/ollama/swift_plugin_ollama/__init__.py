"""Ollama: a Modelfile with weights, chat template, stop words and system text (docs.ollama.com/modelfile)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import Experimental, SwiftError, hookimpl
from swift_core.contract.components import Exporter
from swift_core.contract.job import Job
from swift_core.jobs.steps import load_processor
from swift_core.jobs.writing import writing
from swift_core.templates.forms import ollama


@dataclass(kw_only=True, eq=False)
class Ollama(Exporter):
    """Writes a Modelfile for `ollama create NAME -f Modelfile`; with --merge_lora true for merged weights."""

    swift_api = 1
    capabilities = {"image": Experimental("the template is written; Ollama itself decides where an image stands.")}

    @hookimpl
    def export_model(self, job: Job) -> str:
        path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
        adapter = _adapter(job)
        config = job.hook.load_config(job=job, path=path)
        processor = load_processor(job, path, config)
        text = modelfile(job, Path(path).resolve(), adapter, getattr(processor, "tokenizer", processor))
        with writing(job, "ollama") as place:
            (place.staging / "Modelfile").write_text(text, encoding="utf-8")
            job.write_lock(place.staging)
        job.say(f"ollama create my-model -f {place.final / 'Modelfile'}")
        return str(place.final)


def modelfile(job: Job, weights: Path, adapter: Path | None, tokenizer: Any) -> str:
    """The Modelfile's text: FROM, ADAPTER, TEMPLATE, SYSTEM and a PARAMETER stop per stop word.

    Raises SwiftError where the checkpoint's own template fits no declaration.
    """
    template = job.one("template")
    if not getattr(template, "fitted", True):
        raise SwiftError(
            "The checkpoint's own chat template fits no declaration, and Ollama's form is written from one. Say "
            "--template NAME with one that is near to it (`swift list templates`)."
        )
    bos, eos = tokenizer.bos_token or "", tokenizer.eos_token or ""
    adds_bos = tokenizer.bos_token_id in tokenizer("a")["input_ids"][:1]
    form = ollama(template, bos, eos, tokenizer, adds_bos)
    system = job.options.system or template.default_system
    lines = [f"FROM {weights}"]
    lines += [f"ADAPTER {adapter}"] if adapter else []
    lines += [f"TEMPLATE {_quoted(form, always=True)}"]
    lines += [f"SYSTEM {_quoted(system, always=True)}"] if system else []
    lines += [f"PARAMETER stop {_quoted(word)}" for word in template.stop_words(tokenizer)]
    return "\n".join(lines) + "\n"


def _quoted(text: str, always: bool = False) -> str:
    """A Modelfile string: it knows no escapes, so text with quotes or line breaks stands in three quotes."""
    if '"""' in text or (text.endswith('"') and always):
        raise SwiftError(
            f'A Modelfile cannot hold the text {text!r}: it is closed by """. Change --system or --template.'
        )
    return f'"""{text}"""' if always or '"' in text or "\n" in text else f'"{text}"'


def _adapter(job: Job) -> Path | None:
    """The folder of the one PEFT adapter that stays apart from its base, or None."""
    folders = [Path(c.folder) for c in job.many("tuner") if c.folder]
    if not folders:
        return None
    if len(folders) > 1 or not (folders[0] / "adapter_config.json").is_file():
        raise SwiftError("Ollama reads one LoRA adapter beside its base. Merge these first: --merge_lora true.")
    job.say("Ollama reads adapters of some families only (Llama, Mistral, Gemma); for others say --merge_lora true.")
    return folders[0].resolve()
