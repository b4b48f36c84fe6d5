"""Chat templates that tests ask: the official ones of the trl wheel, and broken ones made by hand."""

from __future__ import annotations

import functools
from importlib import resources

from swift_testing.templates import _compiled

from swift_core.templates.chat import ChatForm

FAMILIES = {
    "qwen": ("", "<|im_end|>", ["<|endoftext|>"]),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", ["<|end_of_text|>", "<|eom_id|>"]),
    "gemma4": ("<bos>", "<eos>", ["<turn|>", "<|tool_response>"]),
    "diffusion_gemma": ("<bos>", "<eos>", ["<turn|>", "<|tool_response>"]),
    "gemma": ("<bos>", "<eos>", ["<end_of_turn>"]),
    "phi3": ("<s>", "<|endoftext|>", ["<|end|>"]),
    "deepseek": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", []),
    "glm4moe": ("", "<|endoftext|>", ["<|user|>", "<|observation|>"]),
    "cohere": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", []),
    "gptoss": ("<|startoftext|>", "<|return|>", ["<|endoftext|>", "<|call|>"]),
    "idefics3": ("<|begin_of_text|>", "<end_of_utterance>", []),
    "smolvlm": ("<|im_start|>", "<end_of_utterance>", []),
    "llava_next": ("<s>", "</s>", []),
    "lfm2": ("<|startoftext|>", "<|im_end|>", []),
    "nemotron": ("<s>", "<|im_end|>", []),
    "muse": ("<|begin_of_text|>", "<|eot|>", ["<|eom|>"]),
}
"""How a file's name begins → bos, eos and what else generation_config.json names as ends."""


class Tokens:
    """The names of special tokens, which is all that rendering asks."""

    def __init__(self, bos: str, eos: str):
        self.bos_token, self.eos_token = bos, eos


@functools.cache
def official(name: str) -> ChatForm:
    """The official chat template of a file, as its family's tokenizer would show it."""
    source = resources.files("trl").joinpath("chat_templates", f"{name}.jinja").read_text(encoding="utf-8")
    bos, eos, more = FAMILIES[family_of(name)]
    return form(source, bos, eos, more)


def family_of(name: str) -> str:
    """The key of FAMILIES."""
    return next(f for f in FAMILIES if name.startswith(f))


def tokens_of(name: str) -> Tokens:
    """The special tokens of an official file's family."""
    return Tokens(*FAMILIES[family_of(name)][:2])


def names() -> list[str]:
    """All files of the wheel."""
    folder = resources.files("trl").joinpath("chat_templates")
    return sorted(p.name.removesuffix(".jinja") for p in folder.iterdir() if p.name.endswith(".jinja"))


def form(source: str, bos: str = "<s>", eos: str = "<|im_end|>", more: list[str] | None = None) -> ChatForm:
    """A chat template in transformers' environment."""

    def render(messages, **values):
        return _compiled(source).render(messages=messages, bos_token=bos, eos_token=eos, **values)

    return ChatForm(source, render, [*(more or []), eos])


TURN = "<|im_start|>{{ m.role }}\n{{ CONTENT }}<|im_end|>\n"


def chatml(
    content: str = "m.content", turn: str = TURN, prompt: str = "<|im_start|>assistant\n", first: str = ""
) -> str:
    """ChatML with one thing changed."""
    return (
        first
        + "{% for m in messages %}"
        + turn.replace("CONTENT", content)
        + "{% endfor %}{% if add_generation_prompt %}"
        + prompt
        + "{% endif %}"
    )


UNSOUND = {
    "capitals": (chatml("m.content | upper"), "does not hold the question"),
    "json": (chatml("m.content | tojson"), "not written as it stands"),
    "escaped": (chatml("m.content | e"), "not written as it stands"),
    "replaced": (chatml("m.content | replace('a', 'b')"), "not written as it stands"),
    "cut": (chatml("m.content[:40]"), "not written as it stands"),
    "reversed": (chatml("m.content[::-1]"), "not written as it stands"),
    "title": (chatml("m.content | title"), "not written as it stands"),
    "words": (chatml("m.content.split() | join(' ')"), "not written as it stands"),
    "number": (chatml("m.content | length"), "does not hold the question"),
    "twice": (chatml("m.content ~ m.content"), "text follows the end|depends on its words|nothing that ends"),
    "by its length": (chatml("m.content ~ '!' * (m.content | length)"), "depends on its words"),
    "another word": (chatml("'No.' if m.content == 'Rest' else m.content"), "not written as it stands"),
    "by chance": (chatml("m.content ~ range(99999) | random"), "differently each time"),
    "no end": (chatml(turn="<|im_start|>{{ m.role }}\n{{ CONTENT }}\n"), "nothing that ends an answer"),
    "an end that is no stop": (chatml(turn="<|im_start|>{{ m.role }}\n{{ CONTENT }}</end>\n"), "nothing that ends"),
    "an end before": (
        chatml(turn="<|im_start|>{{ m.role }}\n<|im_end|>{{ CONTENT }}<|im_end|>"),
        "ends an answer|no prompt",
    ),
    "text behind the end": (chatml(turn=TURN + "{{ m.role }} is done."), "text follows the end"),
    "no prompt": (chatml(prompt=""), "ignores add_generation_prompt"),
    "another prompt": (chatml(prompt="<|im_start|>model\n"), "not how the finished text begins"),
    "no question": (chatml("m.content if m.role == 'assistant' else ''"), "does not hold the question|is missing"),
    "it raises": (chatml(first="{{ raise_exception('Never.') }}"), "Never"),
    "no earlier rounds": (
        chatml(turn="{% if loop.revindex < 3 %}" + TURN + "{% endif %}"),
        "missing from its prompt|not how the finished text begins",
    ),
}
"""Chat templates that no one can train on soundly, and words of the refusal."""
