"""What tests of chat templates share: a job around a template, its three forms as text, two tokenizers."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.row import Row
from swift_core.job.job import PreparedJob
from swift_core.job.selected import Selected
from swift_core.job.specs import find_job
from swift_core.templates.declaration import Template
from swift_core.templates.forms import jinja, ollama
from swift_core.templates.render import Span, spans_of
from swift_testing.go_template import render

Message = dict[str, Any]

SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Za-z_|]{2,}\]|\]~!?b\[?\]?|\[e~\[")
"""What looks like a special token in a template's texts: <|im_start|>, <start_of_turn>, [INST] …"""

TEXTS = (
    "system user assistant tool You are a helpful assistant. What is in the picture? The answer is here.",
    "Question Thought Answer Human Assistant USER ASSISTANT model Reasoning effort: high. 1 2 3 4 5 6 7 8 9 0",
    "你好,世界。我可以帮你吗?天气怎么样? 今天北京的天气很好。",
    "def add(a, b):\n    return a + b\n\n# 0 1 2 3 {} [] <> () : ; , . ! ?\n\n",
)


def job_with(template: Template, loss_scale: str = "default", agent: str | None = None, **options: Any) -> PreparedJob:
    """A job that can render rows and nothing else: real components, no model and no files."""
    names = {"template": template.name, "loss_scale": loss_scale, "agent": agent}
    chosen = []
    for kind, name in names.items():
        if name:
            entry = _catalogue().find(kind, name) if kind != "template" else _catalogue().of_kind("template")[0]
            chosen.append(Selected(entry, name, "test", template if kind == "template" else entry.load()()))
    return PreparedJob(find_job("train"), SimpleNamespace(**options), chosen)


@functools.cache
def _catalogue() -> Catalogue:
    return Catalogue.installed()


def spans(
    job: PreparedJob, messages: list[Message], tokenizer: Any, generation: bool = False, **row: Any
) -> list[Span]:
    """The conversation as spans."""
    return spans_of(job, Row(messages=messages, **row), tokenizer, generation)


def text_of(job: PreparedJob, messages: list[Message], tokenizer: Any, generation: bool = False, **row: Any) -> str:
    """The conversation as the job's template writes it."""
    return "".join(s.text for s in spans(job, messages, tokenizer, generation, **row))


def trained_of(job: PreparedJob, messages: list[Message], tokenizer: Any) -> str:
    """What of the conversation is trained."""
    return "".join(s.text for s in spans(job, messages, tokenizer) if s.weight > 0)


def by_jinja(form: str, tokenizer: Any, messages: list[Message], generation: bool = False, **values: Any) -> str:
    """The conversation as a Jinja chat template writes it, in the environment that transformers gives it."""
    tokens = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""}
    text: str = _compiled(form).render(messages=messages, add_generation_prompt=generation, **{**tokens, **values})
    return text


def blocks_of(form: str, tokenizer: Any, messages: list[Message], **values: Any) -> str:
    """What a Jinja chat template writes inside `{% generation %}`."""
    marked = form.replace("{%- generation %}", "{{- '\\x01' }}").replace("{%- endgeneration %}", "{{- '\\x02' }}")
    text = by_jinja(marked, tokenizer, messages, **values)
    return "".join(piece.partition("\x02")[0] for piece in text.split("\x01")[1:])


@functools.lru_cache(maxsize=8)
def _compiled(form: str) -> Any:
    """In transformers' own environment for chat templates, with raise_exception and the generation tag."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    return _compile_jinja_template(form)


def by_ollama(template: Template, tokenizer: Any, messages: list[Message], think: bool | None = None) -> str:
    """The prompt as Ollama writes it: thoughts apart from contents, the system text in both of its places."""
    from swift_core.templates.thoughts import split_thought

    rows = []
    for message in messages:
        content = message["content"]
        thinking = template.thinking
        thought, content = split_thought(content, "<think>" in thinking.on) if thinking else ("", content)
        rows.append({"Role": message["role"], "Content": content, "Thinking": thought})
    data: dict[str, Any] = {"Messages": rows, "System": "\n\n".join(_system(messages))}
    data |= {"IsThinkSet": think is not None, "Think": bool(think)}
    bos, eos = tokenizer.bos_token or "", tokenizer.eos_token or ""
    return render(ollama(template, bos, eos, tokenizer), data)


def _system(messages: list[Message]) -> list[str]:
    return [m["content"] for m in messages if m["role"] == "system" and m["content"]]


def jinja_of(template: Template, tokenizer: Any) -> str:
    """The template's Jinja form, filled in for this tokenizer."""
    return jinja(template, tokenizer)


def special_tokens(templates: Iterable[Template]) -> list[str]:
    """Everything in the templates' texts that looks like a special token, in order of appearance."""
    tokens: dict[str, None] = {}
    for t in templates:
        thinking = vars(t.thinking).values() if t.thinking else ()
        texts = [t.start, t.system, t.user, t.assistant, t.answer, t.end, t.final_end, t.after, t.between, t.tool]
        written = [*texts, *t.stop, *t.media.values(), *(v for v in thinking if isinstance(v, str))]
        tokens |= dict.fromkeys(SPECIAL.findall(" ".join(written)))
    return list(tokens)


def byte_level(specials: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer, like Qwen's and Llama 3's."""
    from swift_testing.tiny import build_tokenizer

    return build_tokenizer(TEXTS, ("<pad>", "<s>", "</s>", *specials), vocab_size=4096, bos="<s>", eos="</s>")


def metaspace(specials: Iterable[str]) -> Any:
    """A SentencePiece-like tokenizer, like Llama 2's: `▁` for spaces, one more before the first word."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{n:02X}>" for n in range(256)]
    named = list(dict.fromkeys(("<pad>", "<unk>", "<s>", "</s>", *specials)))
    trainer = trainers.BpeTrainer(vocab_size=8192, special_tokens=[*named, *bytes_], show_progress=False)
    raw.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
