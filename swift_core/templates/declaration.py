"""A template as data: the texts that frame each turn, and what of them is trained."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from typing import Any, ClassVar

from swift_core.errors import SwiftError, did_you_mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Template:
    """The chat format of a model, declared once.

    A conversation is written as: `start` (or `system`, when there is a system text), then for each round
    `user`, `assistant`, the answer, `end`, `after`, and `between` before the next round. Only the answer and
    `end` are trained. `{bos}` and `{eos}` stand for the tokenizer's own tokens.

    name: how `--template` calls it. start: opens a conversation without system text. system: opens one with
    it, holds `{system}`; empty: the model knows no system text. default_system: used when a row brings none.
    user: a user turn, holds `{query}`. assistant: the header that asks for an answer. end: closes an answer,
    trained. after: follows `end`, not trained. between: stands before the next round only. tool: a turn of
    tool results, holds `{query}`; empty: the user turn. stop: more words that end an answer. agent: the
    agent format its models were taught. media: modality → the text that stands for one medium.
    source: where the facts come from.
    """

    swift_api: ClassVar[int] = 1

    name: str
    summary: str = ""
    start: str = ""
    system: str = ""
    default_system: str = ""
    user: str = "{query}"
    assistant: str = ""
    end: str = "{eos}"
    after: str = ""
    between: str = ""
    tool: str = ""
    stop: tuple[str, ...] = ()
    agent: str = "react"
    media: dict[str, str] = field(default_factory=dict)
    source: str = ""

    def fill(self, text: str, tokenizer: Any) -> str:
        """`text` with `{bos}` and `{eos}` replaced by the tokenizer's tokens (none: an empty text)."""
        for name in ("bos", "eos"):
            if "{" + name + "}" in text:
                text = text.replace("{" + name + "}", getattr(tokenizer, f"{name}_token", None) or "")
        return text

    def stop_words(self, tokenizer: Any) -> list[str]:
        """Every text that ends an answer: the template's end, its stop words and the tokenizer's eos."""
        words = [self.fill(w, tokenizer) for w in (self.end.strip(), *self.stop, "{eos}")]
        return list(dict.fromkeys(w for w in words if w))


def read_template(text: str, name: str) -> Template:
    """A Template from its TOML text; a SwiftError names the template and the wrong key."""
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SwiftError(f"template {name!r}: not valid TOML: {error}") from None
    known = {f.name for f in dataclasses.fields(Template)}
    for key in facts:
        if key not in known:
            raise SwiftError(f"template {name!r}: unknown key {key!r}.{did_you_mean(key, known)}")
    if "stop" in facts:
        facts["stop"] = tuple(facts["stop"])
    return Template(**{"name": name, **facts})
