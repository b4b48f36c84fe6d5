"""A template as data: the texts that frame each turn, and what of them is trained."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, ClassVar

from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.job import Job

TOKEN = re.compile(r"\{(bos|eos|token:(\d+))\}")
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, kw_only=True, eq=False)
class Thinking:
    """How thoughts are written before an answer. A row holds them as `<think>…</think>` in its answer.

    write: before an answer with thoughts, holds `{thought}`. empty: before an answer without any.
    history: before an earlier answer that stands without thoughts; dropped: before one that had some, where that
    differs. on: the part of `write` that the prompt
    already holds when the model is to think, so it is not trained. off: the part of `empty` that the prompt
    holds when it is not to think; left out, all of it. default: whether it thinks when nobody says.
    keep: earlier thoughts stay in the conversation. off_query: behind each question when it is not to think.
    start, system: take the place of the template's own when it is to think.

    An answer counts as earlier when a user turn follows; one that is trained keeps its thoughts all the same,
    since a model trained on answers alone would unlearn to think. `--preserve_thinking` overrides both.
    """

    write: str = "<think>\n{thought}\n</think>\n\n"
    empty: str = ""
    history: str = ""
    dropped: str | None = None
    on: str = ""
    off: str | None = None
    default: bool = True
    keep: bool = False
    off_query: str = ""
    start: str | None = None
    system: str | None = None

    @property
    def prompt_off(self) -> str:
        """What the prompt holds when the model is not to think."""
        return self.empty if self.off is None else self.off

    def earlier(self, thought: str) -> str:
        """What stands before an earlier answer whose `thought` (or none) is left out."""
        return self.history if self.dropped is None or not thought else self.dropped

    def mistake(self) -> str:
        """What is wrong with the declaration, or an empty text."""
        if self.write.count("{thought}") != 1:
            return "thinking.write must hold {thought} once"
        if not self.write.partition("{thought}")[0].startswith(self.on):
            return "thinking.on must be how thinking.write begins"
        return "" if self.empty.startswith(self.prompt_off) else "thinking.off must be how thinking.empty begins"


@dataclass(frozen=True, kw_only=True, eq=False)
class Template:
    """The chat format of a model, declared once.

    A conversation is written as: `start` (or `system`, when there is a system text), then for each round
    `user`, `assistant`, the answer, `end`, `after`, and `between` before the next round. Only the answer and
    `end` are trained. `{bos}`, `{eos}` and `{token:195}` stand for tokens of the tokenizer.

    name: how `--template` calls it; aliases: its other names. start: opens a conversation without system text.
    system: opens one with it, holds `{system}`; empty: the model knows no system text. default_system: used
    when a row brings none. skip_empty_system: an empty system text counts as none. late_system: written
    before the question of the last user turn instead of `system`. auto_bos: what the tokenizer itself puts
    before a text comes first. user: a user turn, holds `{query}`, and the number of the round as `{round}`
    or, counted from zero, `{round0}`. assistant: the header that asks for an answer. answer: how it is
    written, holds `{answer}`, all trained. end: closes an answer, trained; last_end: closes the last one,
    where that differs. Where `end` is empty, a stop word that opens the next turn is trained as the end.
    after: follows `end`, not trained. between: stands before the next round only. tool: a turn of tool
    results, holds `{query}`; empty: the user turn. tools: opens a conversation that offers tools in the format
    `agent`, holds `{system}`, the text that this format gives; empty: as any other system text. trim: roles
    whose texts are stripped of outer white space. single: one question and one answer, no more. stop: more
    words that end an answer. agent: the agent format its models were taught. media: modality → the text that
    stands for one medium; `{n}` counts them from 1, `{path}` is its file, `{<pad>*256}` a text 256 times.
    thinking: None where the model knows no thoughts of its own.
    source: where the facts come from. differs: where it departs from the model's official chat template,
    and why. lacks: what of the model's format a declaration does not cover.
    """

    swift_api: ClassVar[int] = 1

    name: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    start: str = ""
    system: str = ""
    default_system: str = ""
    skip_empty_system: bool = False
    late_system: str = ""
    auto_bos: bool = False
    user: str = "{query}"
    assistant: str = ""
    answer: str = "{answer}"
    end: str = "{eos}"
    last_end: str | None = None
    after: str = ""
    between: str = ""
    tool: str = ""
    tools: str = ""
    trim: tuple[str, ...] = ()
    single: bool = False
    stop: tuple[str, ...] = ()
    agent: str = "react"
    media: dict[str, str] = field(default_factory=dict)
    thinking: Thinking | None = None
    source: str = ""
    differs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def final_end(self) -> str:
        """What closes the last answer."""
        return self.end if self.last_end is None else self.last_end

    @property
    def prompt_on(self) -> str:
        """What follows the header of an answer to come when the model is to think."""
        return self.thinking.on if self.thinking else ""

    @property
    def prompt_off(self) -> str:
        """What follows the header of an answer to come when the model is not to think."""
        return self.thinking.prompt_off if self.thinking else ""

    @property
    def late_turn(self) -> str:
        """A system message behind other turns, holds `{system}`; empty where the format has none that stands alone."""
        alone = self.system.removeprefix(self.start)
        return alone if self.system.startswith(self.start) and not alone.startswith("{system}") else ""

    def thinks(self, wanted: bool | None) -> bool:
        """Whether the model is to think, where the user wants it so or (None) does not say."""
        return self.thinking is not None and (self.thinking.default if wanted is None else wanted)

    def start_for(self, thinks: bool) -> str:
        """What opens a conversation without system text."""
        own = self.thinking.start if self.thinking and thinks else None
        return self.start if own is None else own

    def system_for(self, thinks: bool) -> str:
        """What opens a conversation with a system text."""
        own = self.thinking.system if self.thinking and thinks else None
        return self.system if own is None else own

    def fill(self, text: str, tokenizer: Any) -> str:
        """`text` with `{bos}`, `{eos}` and `{token:N}` replaced by the tokenizer's tokens (none: an empty text)."""
        return TOKEN.sub(lambda m: _token(m, tokenizer), text) if "{" in text else text

    def opening(self, tokenizer: Any) -> str:
        """With `auto_bos`, the special tokens that the tokenizer puts before a text; else nothing."""
        if not self.auto_bos:
            return ""
        alone = tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = tokenizer("a")["input_ids"]
        before = whole[: whole.index(alone[0])] if alone and alone[0] in whole else []
        return "".join(tokenizer.convert_ids_to_tokens(before))

    def spans(self, job: Job, row: Any, tokenizer: Any, generation: bool) -> list[Any] | None:
        """The row as spans where the template does not write it as declared; None: as declared."""
        return None

    def stop_words(self, tokenizer: Any) -> list[str]:
        """Every text that ends an answer: the template's ends, its stop words and the tokenizer's eos."""
        words = [self.fill(w, tokenizer) for w in (self.end.strip(), self.final_end.strip(), *self.stop, "{eos}")]
        return list(dict.fromkeys(w for w in words if w))


def _token(match: re.Match[str], tokenizer: Any) -> str:
    if match[2]:
        return str(tokenizer.convert_ids_to_tokens(int(match[2])))
    return getattr(tokenizer, f"{match[1]}_token", None) or ""


def named_tokens(template: Template, text: str, tokenizer: Any) -> list[str]:
    """`text` in pieces, `{bos}` and `{eos}` by themselves and tokens given by number written out.

    Raises SwiftError where `text` names a token by its number and `tokenizer` is None.
    """
    pieces, at = [], 0
    for match in TOKEN.finditer(text):
        if match[2] and tokenizer is None:
            raise SwiftError(f"The template {template.name!r} names {match[0]}: this form of it needs the tokenizer.")
        pieces += [text[at : match.start()], _token(match, tokenizer) if match[2] else match[0]]
        at = match.end()
    return [piece for piece in (*pieces, text[at:]) if piece]


def read_template(text: str, name: str) -> Template:
    """A Template from its TOML text; a SwiftError names the template and the wrong key."""
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SwiftError(f"template {name!r}: not valid TOML: {error}") from None
    _check_keys(facts, Template, name)
    if "thinking" in facts:
        _check_keys(facts["thinking"], Thinking, name)
        facts["thinking"] = Thinking(**facts["thinking"])
    facts = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    template = Template(**{"name": name, **facts})
    mistake = _mistake(template)
    if mistake:
        raise SwiftError(f"template {name!r}: {mistake}.")
    return template


def _check_keys(facts: dict[str, Any], owner: type, name: str) -> None:
    known = {f.name: f.default for f in dataclasses.fields(owner)}
    for key, value in facts.items():
        if key not in known:
            raise SwiftError(f"template {name!r}: unknown key {key!r}.{did_you_mean(key, known)}")
        default = known[key]
        fits = {str: str, bool: bool, tuple: list}.get(type(default))
        if fits and not isinstance(value, fits):
            raise SwiftError(f"template {name!r}: {key} must be a {fits.__name__}, found {value!r}.")


def _mistake(template: Template) -> str:
    """The first thing that contradicts itself, or an empty text."""
    held = {"user": "query", "answer": "answer", "system": "system", "late_system": "system", "tool": "query"}
    held |= {"tools": "system"}
    for key, word in held.items():
        text = getattr(template, key)
        if text and text.count("{" + word + "}") != 1:
            return f"{key} must hold {{{word}}} once"
    if template.default_system and not (template.system or template.late_system):
        return "default_system needs a system text to stand in"
    for role in template.trim:
        if role not in ROLES:
            return f"trim names the unknown role {role!r}"
    return template.thinking.mistake() if template.thinking else ""


def wanted_thoughts(options: Any, said: bool | None) -> bool | None:
    """Whether answers shall begin with thoughts: what a row says, else --enable_thinking; None: nobody says."""
    return getattr(options, "enable_thinking", None) if said is None else said
