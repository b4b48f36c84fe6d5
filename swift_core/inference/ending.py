"""Where an answer ends: by which tokens and words, and what of it is then the reply."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.contract.engine import Reply, Request

if TYPE_CHECKING:
    from swift_core.contract.job import Job


@dataclass(frozen=True)
class Ending:
    """What ends an answer: tokens, the template's own first, or texts, however many tokens they are."""

    ids: tuple[int, ...]
    words: tuple[str, ...]

    def for_request(self, job: Job, request: Request) -> Ending:
        """The same, and what ends the answer to this request."""
        own = Ending((), ()) if request.sampling.ignore_eos else self
        ids = (*own.ids, *request.sampling.stop_ids)
        return Ending(ids, (*own.words, *stops_of(job, request)))


def ending_of(job: Job, tokenizer: Any, own: int | list[int] | None = None) -> Ending:
    """What ends an answer of the job: the template's stop words, the padding, and the checkpoint's own ends.

    own: `eos_token_id` of the checkpoint's generation config.
    """
    words = stop_words(job, tokenizer)
    single = [ids[0] for ids in map(_encoder(tokenizer), words) if len(ids) == 1]
    more = own if isinstance(own, list) else [] if own is None else [own]
    return Ending(tuple(dict.fromkeys([*single, *more])), tuple(words))


def stop_words(job: Job, tokenizer: Any) -> list[str]:
    """The texts that end every answer of the job: the template's, and the padding that stands behind an answer."""
    return [*job.one("template").stop_words(tokenizer), *filter(None, [tokenizer.pad_token])]


def long_words(words: Iterable[str], tokenizer: Any) -> list[str]:
    """Those of the words that are several tokens, so that no token by itself is the end."""
    encode = _encoder(tokenizer)
    return [word for word in words if len(encode(word)) > 1]


def _encoder(tokenizer: Any) -> Callable[[str], list[int]]:
    return lambda word: list(tokenizer(word, add_special_tokens=False)["input_ids"])


def stops_of(job: Job, request: Request) -> list[str]:
    """The request's own stop words and, where tool results go on inside the answer, the word that opens them.

    Such a format (ReAct's `Observation:`) has no end marker after a call: the model would invent the result.
    """
    stops = [word for word in request.sampling.stop if word]
    if request.row.tools and job.hook.write_results(job=job, results=[""], calls=[])[1]:
        written = job.hook.write_calls(job=job, calls=[{"name": "f", "arguments": {}}])
        opener = written.rpartition("}")[2].strip()
        stops += [opener] if opener else []
    return stops


def cut_at(text: str, words: Iterable[str], start: int = 0) -> str:
    """The text up to the first of the words that stands in it, from `start` on."""
    places = [place for word in words if word and (place := text.find(word, start)) >= 0]
    return text[: min(places)] if places else text


def reply_to_ids(job: Job, processor: Any, request: Request, ids: list[int], ending: Ending, asked: int) -> Reply:
    """The reply for the tokens of a finished answer. asked: tokens of the prompt."""
    end = next((place for place, token in enumerate(ids) if token in ending.ids), None)
    kept = ids if end is None else ids[: end + 1]
    said = job.hook.decode(job=job, ids=ids if end is None else ids[:end], processor=processor)
    text = cut_at(said, ending.words)
    reason = "length" if end is None and text == said else "stop"
    return reply_of(job, request, text, reason, (asked, len(kept)), kept)


def reply_of(
    job: Job, request: Request, text: str, finish_reason: str, tokens: tuple[int, int], ids: list[int] | None = None
) -> Reply:
    """The reply for a finished text; where the request has tools, with the calls that the text makes.

    tokens: how many the prompt and the answer have. ids: the answer's, where they are known.
    """
    calls = job.hook.read_calls(job=job, text=text) if request.row.tools else []
    reply = Reply(text, finish_reason, *tokens, ids=ids or [])
    if not calls:
        return reply
    content = _before_calls(job, text, calls)
    return dataclasses.replace(reply, finish_reason="tool_calls", calls=calls, content=content)


def _before_calls(job: Job, text: str, calls: list[Any]) -> str:
    """What stands before the first call: the longest start of `text` without which all calls are still read.

    Holds for any agent format, because a call is read from its own start on.
    """
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        same = job.hook.read_calls(job=job, text=text[middle:]) == calls
        low, high = (middle, high) if same else (low, middle - 1)
    return text[:low].rstrip()


@dataclass
class Writer:
    """One answer in the making, token by token.

    partly: ids → text as it is. wholly: ids → the finished answer (the job's `decode`). ending: what ends it.
    limit: most tokens. least: fewest tokens before a stop word counts. steady: whether `wholly` only cuts what `partly`
    gives, so that pieces can go out before the end. ids: all tokens so far, with the one that ended the answer. reason:
    why it ended, empty while it has not.
    """

    partly: Callable[[list[int]], str]
    wholly: Callable[[list[int]], str]
    ending: Ending
    limit: int
    steady: bool = True
    least: int = 0
    ids: list[int] = field(default_factory=list)
    text: str = ""
    reason: str = ""
    _given: int = 0
    _free: int = 0
    _window: tuple[int, int] = (0, 0)

    def add(self, token: int) -> None:
        """Take the next token; sets `reason` when it ends the answer."""
        self.ids.append(token)
        if token in self.ending.ids:
            return self.end("stop", self.ids[:-1])
        complete = self._read()
        if len(self.ids) <= self.least:
            self._free = len(self.text)
        elif complete:
            return self.end("stop")
        return self.end("length") if len(self.ids) >= self.limit else None

    def end(self, reason: str, said: list[int] | None = None) -> None:
        """Close the answer: its text is now what `wholly` says, up to the first stop word.

        said: its tokens without the one that ends it; left out, all.
        """
        self.reason = reason
        ids = self.ids if said is None else said
        free = len(self.wholly(ids[: self.least])) if self.least else 0
        self.text = cut_at(self.wholly(ids), self.ending.words, free)

    def _read(self) -> bool:
        """Append the text of new tokens; True where a stop word is complete.

        A token's text depends on its neighbour's (a sentence piece's space), so the tokens read last are
        decoded again with the new ones; and a character may end in a later token, which shows as U+FFFD.
        """
        begin, end = self._window
        before, now = self.partly(self.ids[begin:end]), self.partly(self.ids[begin:])
        if len(now) <= len(before) or now.endswith("\ufffd"):
            return False
        old = len(self.text)
        self.text += now[len(before) :]
        self._window = (end, len(self.ids))
        return any(self.text.find(word, max(self._free, old - len(word))) >= 0 for word in self.ending.words)

    def piece(self) -> str:
        """Text that is certain to stay and was not given out yet."""
        if self.reason:
            upto = len(self.text)
        else:
            upto = len(self.text) - self._held() if self.steady else 0
        new = self.text[self._given : upto]
        self._given = max(self._given, upto)
        return new

    def _held(self) -> int:
        """Length of the text's end that may turn out to be the start of a stop word."""
        longest = max((len(word) - 1 for word in self.ending.words), default=0)
        for size in range(min(longest, len(self.text)), 0, -1):
            if any(word.startswith(self.text[-size:]) for word in self.ending.words):
                return size
        return 0


def writer_of(job: Job, processor: Any, request: Request, ending: Ending, limit: int) -> Writer:
    """A writer for the answer to `request`, of at most `limit` tokens."""
    tokenizer = getattr(processor, "tokenizer", processor)
    return Writer(
        partly=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=False)),
        wholly=lambda ids: str(job.hook.decode(job=job, ids=ids, processor=processor)),
        ending=ending.for_request(job, request),
        limit=limit,
        steady=len(job.hook.decode.get_hookimpls()) == 1,
        least=request.sampling.min_new_tokens,
    )
