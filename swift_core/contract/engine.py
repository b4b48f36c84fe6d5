"""What every inference backend speaks: a request, a reply, and the engine between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row

Heard = Callable[[str], bool]
"""Told each piece of an answer; False from it ends the answer."""

Listener = Callable[[int, str], bool]
"""Called with a request's place in its batch and a new piece of its answer; False ends that answer early."""


@dataclass(frozen=True)
class Token:
    """A token of a prompt or an answer, with how likely it was.

    logprob: natural logarithm of its probability as the model gives it, whatever else `Sampling` says; None for the
    first of a prompt. top: the likeliest ids in its place with theirs, the likeliest first.
    """

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Piece(str):
    """A piece of an answer. tokens: those that came with it, where their likelihoods are asked for."""

    tokens: tuple[Token, ...] = ()

    @classmethod
    def of(cls, text: str, tokens: Iterable[Token]) -> Piece:
        """A text with its tokens."""
        piece = cls(text)
        piece.tokens = tuple(tokens)
        return piece


@dataclass(frozen=True)
class Guide:
    """The form that an answer has from its first token to its last.

    sort: what `text` is. `json`: a JSON schema. `regex`: a regular expression for the whole answer. `choice`: a JSON
    list of texts. `grammar`: Lark's or llama.cpp's notation. `calls`: tool calls as `inference.forced` writes them.
    thoughts: (opens, closes) around thoughts that may come before; opened: whether the prompt has opened them. field:
    of the request that asks for it, which errors name.
    """

    sort: str
    text: str
    thoughts: tuple[str, str] | None = None
    opened: bool = False
    field: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True)
class Sampling:
    """How one answer is drawn.

    max_new_tokens: upper bound of the answer in tokens; 0: the prompt is read, and nothing said. temperature: 0 is
    greedy. top_k: 0 is off. stop: texts that end the answer, besides the template's own. banned: token ids that are
    never drawn. logit_bias: token ids with what is added to their scores. min_p: only tokens at least this likely
    beside the likeliest; 0 is off. stop_ids: token ids that end the answer. ignore_eos: the template's own ends do not
    end it. seed: None draws a fresh one.

    These an engine obeys where it says so (`EngineTraits.obeys`). presence_penalty: taken off the score of each token
    that the answer has already; frequency_penalty: the same for each time that it has it. min_new_tokens: nothing ends
    the answer before. logprobs: how many of the likeliest tokens are told with each token of the answer, 0: that
    token's own likelihood alone, None: nothing. prompt_logprobs: the same of the prompt. guide: the answer's form.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    banned: tuple[int, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_p: float = 0.0
    stop_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    min_new_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    guide: Guide | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Request:
    """One question.

    row: the conversation with its media, tools and boxes; its last turn is not the assistant's. sampling: how the
    answer is drawn. adapter: the name of a loaded adapter, None for the base model. prompt: what to go on from in
    place of the conversation as the template writes it: text, token ids, or the row as `encode` returned it.
    """

    row: Row = field(default_factory=lambda: Row([], where="the request"))
    sampling: Sampling = Sampling()
    adapter: str | None = None
    prompt: str | list[int] | dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        messages: list[dict[str, Any]] | None = None,
        *,
        prompt: str | list[int] | dict[str, Any] | None = None,
        adapter: str | None = None,
        **told: Any,
    ) -> Request:
        """A request from parts: messages as in `Row.messages`, further fields of `Row`, and those of `Sampling`."""
        drawn = {name: told.pop(name) for name in SAMPLING_FIELDS & set(told)}
        return cls(Row(messages or [], **{"where": "the request", **told}), Sampling(**drawn), adapter, prompt)

    @property
    def where(self) -> str:
        """What errors name: the row's place."""
        return self.row.where

    def drawn(self, **changes: Any) -> Request:
        """The same request with other sampling: fields of `Sampling`."""
        return dataclasses.replace(self, sampling=dataclasses.replace(self.sampling, **changes))


SAMPLING_FIELDS = {f.name for f in dataclasses.fields(Sampling)}


@dataclass
class Reply:
    """One answer. finish_reason: `stop`, `length` or `tool_calls`. calls: as `read_calls` returns them.

    text: all that the model said. content: what it said before its first call; without calls, the text.
    Tokens are counted with the one that ended the answer. ids: these tokens, empty where the engine does not know
    them. cut: whether the answer was cut at its limit, whatever it says until there. thought: what it thought before
    its words, where somebody took them apart; an engine leaves it in the text. tokens, prompt: the tokens of the answer
    and of the prompt where their likelihoods were asked for.
    """

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)
    content: str = ""
    ids: list[int] = field(default_factory=list)
    cut: bool = False
    thought: str = ""
    tokens: list[Token] = field(default_factory=list)
    prompt: list[Token] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.calls:
            self.content = self.text
        self.cut = self.cut or self.finish_reason == "length"


class Engine(Protocol):
    """A loaded model that answers. What more it may declare stands in `swift_core.contract.components.EngineTraits`."""

    models: list[str]
    """Names it answers to: the base model first, then its adapters."""

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in the order of the requests; batched where the backend can.

        `listen` hears every piece as it comes. A SwiftError about a request is raised before any piece.
        """

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of the answer as they come; joined they are the reply's text. Returns the reply."""

    def close(self) -> None:
        """Free the model, its memory and its processes."""


class AdmittingEngine(Engine, Protocol):
    """An engine that admits a request while it answers others; it declares `admits` (`EngineTraits`)."""

    def submit(self, request: Request, heard: Heard | None = None) -> Future[Reply]:
        """The reply to come; cancelling the future ends the answer. Any thread may ask, nobody waits.

        heard: told each piece of the answer; False from it ends the answer. A SwiftError about the request is the
        future's exception.
        """


class InUse(SwiftError):
    """Something that cannot be changed now, because requests need it."""


class AdapterEngine(Engine, Protocol):
    """An engine whose adapters change while it answers; it declares `changes_adapters` (`EngineTraits`)."""

    def load_adapter(self, name: str, folder: str) -> None:
        """Answer to a further name with the adapter in a folder. Raises SwiftError where it cannot."""

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter. Raises SwiftError where there is none of that name, InUse while requests ask for it."""


class RolloutEngine(Engine, Protocol):
    """An engine whose model is the policy under training. Its replies have `ids`."""

    address: dict[str, str]
    """How other processes of the run reach its server."""

    def follow(self, folder: str | None, version: str) -> None:
        """Answer from now on with the policy saved in `folder`, and call it `version`.

        folder: None where another process of the run has told the server already. From here on `generate` raises a
        SwiftError where other weights than those of `version` gave an answer.
        """


class Server(Protocol):
    """A server with its port taken; `with server:` gives the port back in the end."""

    def __enter__(self) -> Server: ...

    def __exit__(self, *error: Any) -> None: ...

    def serve(self, engine: Engine) -> None:
        """Answer requests with `engine` until SIGINT or SIGTERM. The engine stays open."""
