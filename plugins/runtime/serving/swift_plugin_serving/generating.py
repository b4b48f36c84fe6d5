"""An engine over somebody else's server that takes token ids at `/generate` and gives token ids back.

Prompts are written and answers are read by the job, exactly as when the model answers in this process: the server only
draws tokens. Where an answer ends is decided here; the connection is then closed, which ends it in the server as well.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from swift_core.contract.engine import Listener, Reply, Request
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.inference.conversation import check_adapter, prompt_ids, room, stream_one
from swift_core.inference.ending import Ending, Writer, ending_of, long_words, reply_of, stops_of, writer_of
from swift_plugin_serving.checkpoints import eos_of
from swift_plugin_serving.processes import ServerProcess

PARALLEL = 128
"""Requests under way at a time; the server batches what arrives."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What a server is to be asked: a checked request.

    ids: its prompt. limit: most tokens of the answer. ends: token ids that end it. stream: whether pieces are wanted.
    """

    request: Request
    ids: list[int]
    limit: int
    ends: tuple[int, ...]
    stream: bool


@dataclass(frozen=True)
class Piece:
    """A part of an answer, or all of it. tokens: new ones. reason: why the answer ended; None while it goes on.

    counted: tokens of the prompt and of the answer as the server counts them, where it says so.
    """

    tokens: list[int]
    reason: str | None = None
    counted: tuple[int, int] | None = None


@dataclass(frozen=True)
class Call:
    """How a question is put: the body for `path`, and how its answer is read.

    read: one JSON object of the answer → the piece. texts: the endpoint gives text, so tokens are code points.
    """

    path: str
    body: Body
    read: Callable[[Body], Piece]
    texts: bool = False


class Dialect(Protocol):
    """What one kind of server understands."""

    def call(self, question: Question) -> Call:
        """The call for a question; SwiftError that names what the server cannot do."""


class GenerateEngine:
    """An engine over a running server, which batches whatever arrives.

    path: of the checkpoint that the server has loaded. models: its name, then those of its adapters. window: most
    tokens of prompt and answer together.
    """

    batches_itself = True

    def __init__(
        self,
        job: Job,
        server: ServerProcess,
        dialect: Dialect,
        processor: Any,
        path: str,
        models: list[str],
        window: int,
    ):
        import httpx

        self.job, self.server, self.dialect, self.processor = job, server, dialect, processor
        self.models, self.window = models, window
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.ending = ending_of(job, self.tokenizer, eos_of(path, self.tokenizer))
        self.client = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=httpx.Timeout(30, read=3600),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,  # a proxy in the environment has nothing to do with a server of our own
        )

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in the order of the requests; SwiftError before any if one cannot be asked."""
        questions = [self._question(request, listen is not None) for request in requests]
        calls = [self.dialect.call(question) for question in questions]
        with ThreadPoolExecutor(PARALLEL) as pool:
            futures = [
                pool.submit(self._answer, place, question, call, listen)
                for place, (question, call) in enumerate(zip(questions, calls, strict=True))
            ]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of one answer; joined they are what `generate` gives."""
        return stream_one(self, request)

    def close(self) -> None:
        """Stop the server and all its processes."""
        self.client.close()
        self.server.stop()

    def prepared(self, request: Request) -> Request:
        """The request with its prompt as token ids; SwiftError if it cannot be asked."""
        question = self._question(request, listening=False)
        self.dialect.call(question)
        return dataclasses.replace(request, prompt=question.ids)

    def _question(self, request: Request, listening: bool) -> Question:
        check_adapter(request, self.models[1:])
        if request.row.media:
            raise SwiftError(f"{request.where}: {self.server.name} is asked with token ids, which hold no media.")
        ids = prompt_ids(self.job, self.processor, request)
        limit, ends = room(request, len(ids), self.window), self.ending.for_request(self.job, request).ids
        return Question(request, ids, limit, ends, listening or self._ends_by_text(request))

    def _ends_by_text(self, request: Request) -> bool:
        """Whether only we see the end of the answer, so that its pieces are read as they come."""
        words = [*stops_of(self.job, request), *long_words(self.ending.words, self.tokenizer)]
        return bool(words) or request.sampling.ignore_eos

    def _answer(self, place: int, question: Question, call: Call, listen: Listener | None) -> Reply:
        writer, counted = self._writer(question, call), None
        with closing(self._pieces(question.request, call)) as pieces:
            for piece in pieces:
                counted = piece.counted or counted
                _take(writer, piece)
                said = writer.piece()
                if said and listen and not listen(place, said):
                    return Reply(writer.text)
                if writer.reason and not (piece.reason or _ends_itself(question, writer)):
                    break
        if not writer.reason:
            self.server.check_after_failure()
            raise SwiftError(f"{question.request.where}: {self.server.name} left its answer unfinished.")
        return self._reply(question, call, writer, counted)

    def _writer(self, question: Question, call: Call) -> Writer:
        if not call.texts:
            return writer_of(self.job, self.processor, question.request, self.ending, question.limit)
        words = self.ending.for_request(self.job, question.request).words
        return Writer(_joined, _joined, Ending((), words), limit=sys.maxsize)

    def _reply(self, question: Question, call: Call, writer: Writer, counted: tuple[int, int] | None) -> Reply:
        ids = [] if call.texts else writer.ids
        drawn = len(ids) or (counted[1] if counted else len(self.tokenizer(writer.text)["input_ids"]))
        return reply_of(self.job, question.request, writer.text, writer.reason, (len(question.ids), drawn), ids)

    def _pieces(self, request: Request, call: Call) -> Generator[Piece, None, None]:
        """The answer as the server gives it; leaving off closes the connection, which ends it there."""
        import httpx

        try:
            with self.client.stream("POST", call.path, json=call.body) as answer:
                if answer.status_code != 200:
                    self._refused(request, answer.status_code, answer.read().decode(errors="replace"))
                for found in _objects(answer, call.body["stream"]):
                    if "error" in found:
                        self._refused(request, 200, json.dumps(found))
                    yield call.read(found)
        except httpx.HTTPError as error:
            self.server.check_after_failure()
            raise SwiftError(f"{request.where}: no answer from {self.server.name}: {error}.") from None

    def _refused(self, request: Request, status: int, text: str) -> None:
        """SwiftError with what the server said."""
        if status >= 500:
            self.server.check_after_failure()
        raise SwiftError(f"{request.where}: {self.server.name} refused ({status}): {_why(text)}")


def read_tokens(found: Body) -> Piece:
    """A piece of `/generate`: `output_ids` are its tokens, `meta_info` says why it ended and counts."""
    meta = found.get("meta_info") or {}
    reason = (meta.get("finish_reason") or {}).get("type")
    return Piece(list(found.get("output_ids") or []), _ended(reason, meta.get("finish_reason")), _counted(meta))


def read_text(found: Body) -> Piece:
    """A piece of `/v1/completions`: the code points of its text."""
    counted = _counted(found.get("usage") or {})
    if not found["choices"]:
        return Piece([], None, counted)
    (choice,) = found["choices"]
    reason = choice.get("finish_reason")
    return Piece([ord(letter) for letter in choice["text"] or ""], _ended(reason, choice), counted)


def _ended(reason: str | None, told: Any) -> str | None:
    """`stop` or `length`; SwiftError where the server gave up the answer."""
    if reason in (None, "stop", "length"):
        return reason
    raise SwiftError(f"The server gave up an answer: {json.dumps(told)[:400]}")


def _counted(told: Body) -> tuple[int, int] | None:
    counts = told.get("prompt_tokens"), told.get("completion_tokens")
    return counts if None not in counts else None  # type: ignore[return-value]


def _take(writer: Writer, piece: Piece) -> None:
    """Add the tokens up to the end of the answer, wherever that is."""
    for token in piece.tokens:
        if writer.reason:
            return
        writer.add(token)
    if piece.reason and not writer.reason:
        writer.end(piece.reason)


def _ends_itself(question: Question, writer: Writer) -> bool:
    """Whether the server ends the answer where we do, so that its last words are on the way."""
    at_end = writer.ids[-1] in question.ends and not question.request.sampling.ignore_eos
    return at_end or len(writer.ids) >= question.limit


def _joined(points: list[int]) -> str:
    return "".join(map(chr, points))


def _objects(answer: Any, stream: bool) -> Iterator[Body]:
    """The JSON objects of an answer: its one, or those of its server-sent events up to `[DONE]`."""
    if not stream:
        yield json.loads(answer.read())
        return
    for line in answer.iter_lines():
        name, _, data = line.partition(":")
        if name != "data":
            continue
        if data.strip() == "[DONE]":
            return
        yield json.loads(data)


def _why(text: str) -> str:
    """What an error's body says, whatever its form."""
    try:
        found = json.loads(text)
    except ValueError:
        return text[:600]
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return (found if isinstance(found, str) else json.dumps(found))[:600]
