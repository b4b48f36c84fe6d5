"""Ollama: a Modelfile with weights, chat template, stop words and system text (docs.ollama.com/modelfile).

Where a GGUF file was written before in the same export (`--to_gguf true`), the Modelfile is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import Experimental, SwiftError, hookimpl
from swift_core.contract.components import Exporter
from swift_core.contract.job import Job
from swift_core.data.convert import to_row
from swift_core.job.gguf_header import gguf_of
from swift_core.jobs.steps import load_processor
from swift_core.jobs.writing import WRITTEN, writing
from swift_core.templates.forms import ollama
from swift_core.templates.ollama_tools import CALLS, RESULTS, TOOLS, ToolForm, pieces_of, tool_form
from swift_core.templates.render import spans_of
from swift_core.templates.turns import own_tools


@dataclass(kw_only=True, eq=False)
class Ollama(Exporter):
    """Writes a Modelfile for `ollama create`, of merged weights (--merge_lora true) or a GGUF file (--to_gguf true)."""

    swift_api = 1
    capabilities = {"image": Experimental("the template is written; Ollama itself decides where an image stands.")}

    @hookimpl
    def export_model(self, job: Job) -> str:
        path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
        adapter, weights = _adapter(job), _weights(job, Path(path))
        config = job.hook.load_config(job=job, path=path)
        processor = load_processor(job, path, config)
        text = modelfile(job, weights, adapter, getattr(processor, "tokenizer", processor))
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
    if adds_bos and not _opens_with(template, bos):
        job.say(f"The tokenizer puts {bos} before a text and so does Ollama, but the template was trained without it.")
    form = ollama(template, bos, eos, tokenizer, adds_bos, _tools(job, tokenizer))
    system = template.default_system if job.options.system is None else job.options.system
    if job.options.system == "" and template.default_system:
        job.say(
            f"Ollama takes an empty system text for none, and writes the template's own: {template.default_system!r}"
        )
    lines = [f"FROM {weights}"]
    lines += [f"ADAPTER {adapter}"] if adapter else []
    lines += [f"TEMPLATE {_quoted(form, always=True)}"]
    lines += [f"SYSTEM {_quoted(system, always=True)}"] if system else []
    lines += [f"PARAMETER stop {_quoted(word)}" for word in template.stop_words(tokenizer)]
    return "\n".join(lines) + "\n"


def _weights(job: Job, path: Path) -> Path:
    """The GGUF file that was written before or is the model itself, else the checkpoint's folder."""
    written = [file for folder in job.memo.get(WRITTEN, {}).values() for file in sorted(Path(folder).glob("*.gguf"))]
    apart = any(c.folder for c in job.many("tuner"))
    found = written[-1] if written and not apart else gguf_of(job.options.model)
    return (found or path).resolve()


def _opens_with(template: Any, bos: str) -> bool:
    """Whether every conversation opens with the bos in the template's own text."""
    opening = (template.start_for(False), template.system_for(False))
    return all(text.startswith(("{bos}", bos)) for text in opening if text)


def _tools(job: Job, tokenizer: Any) -> ToolForm | None:
    """How tools are written, where what the agent format writes stands in the written conversation as it is."""
    form = tool_form(job)
    said = [{"role": "user", "content": "Ask."}, {"role": "assistant", "content": "", "tool_calls": CALLS}]
    messages = [*said, *({"role": "tool", "content": result} for result in RESULTS)]
    try:
        template = job.one("template")
        row = to_row({"messages": messages, "tools": TOOLS, "_where": "the tools of Ollama's template"}, {})
        text = "".join(span.text for span in spans_of(job, row, tokenizer, generation=True))
        form = None if template.tools and not own_tools(job, row, template) else form
    except SwiftError:
        form = None
    if form is None or not all(piece in text for piece in pieces_of(job)):
        job.say("The Modelfile's template writes no tools: Go has no words for this agent format.")
        return None
    return form


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
    written = [file for folder in job.memo.get(WRITTEN, {}).values() for file in Path(folder).glob("*.gguf")]
    if written:
        return written[-1].resolve()
    job.say("Ollama reads adapters of some families only (Llama, Mistral, Gemma); for others say --merge_lora true.")
    return folders[0].resolve()
