"""An engine that is somewhere else: any server that speaks OpenAI's HTTP interface."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from swift_core.contract.engine import Guide, Listener, Reply, Request
from swift_core.contract.errors import SwiftError
from swift_plugin_serving.openai_form import read_tool_calls, write_messages


class OpenAIEngine:
    """Asks an OpenAI endpoint; requests go out side by side.

    url: of the server, with or without `/v1`. model: whom to ask; left out, the first model that it lists.
    parallel: requests under way at a time. timeout: seconds without an answer. extra: further keys of every
    body, for servers that know more than OpenAI's. SwiftError where the server
    cannot be reached, refuses, or lists no model. A reply's text lacks the calls, which the server took out.
    """

    batches_itself = True
    obeys = frozenset({"presence_penalty", "frequency_penalty", "min_new_tokens", "guide"})

    def __init__(
        self,
        url: str,
        api_key: str = "EMPTY",
        model: str | None = None,
        parallel: int = 8,
        timeout: float = 600,
        extra: dict[str, Any] | None = None,
    ):
        import openai

        self.url, self.parallel, self.extra = base_url(url), parallel, extra or {}
        self.client: Any = openai.OpenAI(base_url=self.url, api_key=api_key, timeout=timeout)
        self.models = [model or self._first_model()]

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in the order of the requests."""
        with ThreadPoolExecutor(self.parallel) as pool:
            futures = [pool.submit(self._answer, place, request, listen) for place, request in enumerate(requests)]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of the answer as the server sends them; where tools are given, the answer in one piece."""
        if request.row.tools:
            reply = self._whole(request)
            yield reply.text
            return reply
        reply = Reply("")
        with self._said_why(request):
            for chunk in self._asked(request, stream=True, stream_options={"include_usage": True}):
                piece = _take(reply, chunk)
                if piece:
                    yield piece
        return reply

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self.client.close()

    def _answer(self, place: int, request: Request, listen: Listener | None) -> Reply:
        if listen is None:
            return self._whole(request)
        pieces, text = self.stream(request), ""
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                reply: Reply = end.value
                return reply
            text += piece
            if not listen(place, piece):
                pieces.close()
                return Reply(text)

    def _whole(self, request: Request) -> Reply:
        with self._said_why(request):
            completion = self._asked(request)
        choice = completion.choices[0]
        message = getattr(choice, "message", None)
        reply = Reply(
            _text(choice),
            choice.finish_reason or "stop",
            calls=read_tool_calls(message.tool_calls) if message else [],
        )
        reply.content = reply.text
        _count(reply, completion.usage)
        return reply

    def _asked(self, request: Request, **more: Any) -> Any:
        asked = {**_settings(request), "model": request.adapter or self.models[0], **more}
        asked["extra_body"] = {**asked.get("extra_body", {}), **self.extra}
        if request.prompt is not None:
            prompt = request.prompt["input_ids"] if isinstance(request.prompt, dict) else request.prompt
            return self.client.completions.create(prompt=prompt, **asked)
        tools = {"tools": request.row.tools} if request.row.tools else {}
        return self.client.chat.completions.create(messages=write_messages(request), **tools, **asked)

    def _first_model(self) -> str:
        with self._said_why(Request.of(where="listing the models")):
            listed = self.client.models.list().data
        if not listed:
            raise SwiftError(f"{self.url} serves no model by name. Say --eval_model NAME.")
        return str(listed[0].id)

    @contextmanager
    def _said_why(self, request: Request) -> Any:
        """What goes wrong on the way to the server and back, as a SwiftError."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            why = error.body.get("message") if isinstance(error.body, dict) else None
            raise SwiftError(
                f"{request.where}: {self.url} refused ({error.status_code}): {why or error.message}"
            ) from None
        except openai.APIConnectionError as error:
            why = error.__cause__ or error
            raise SwiftError(
                f"No answer from {self.url}: {why}. Is the server running, and is the address right?"
            ) from None


def base_url(url: str) -> str:
    """The address that ends in `/v1`, whichever part of the interface the user named.

    Raises SwiftError where `url` is not an http address.
    """
    if not re.match(r"https?://[^/]", url):
        raise SwiftError(f"{url!r} is not an address; write it as http://HOST:PORT or http://HOST:PORT/v1.")
    url = re.sub(r"/(chat/)?(completions|models)/?$", "", url).rstrip("/")
    return url if re.search(r"/v\d+$", url) else f"{url}/v1"


def _settings(request: Request) -> dict[str, Any]:
    """How the answer is drawn; what OpenAI itself does not know goes along as further keys of the body."""
    how = request.sampling
    own = {
        "top_k": (how.top_k, 0),
        "repetition_penalty": (how.repetition_penalty, 1.0),
        "min_p": (how.min_p, 0.0),
        "stop_token_ids": (list(how.stop_ids), []),
        "ignore_eos": (how.ignore_eos, False),
        "min_tokens": (how.min_new_tokens, 0),
        "structured_outputs": (_structured(how.guide), None),
    }
    bans = {str(token): value for token, value in how.logit_bias} | {str(token): -100 for token in how.banned}
    settings = {
        "max_tokens": how.max_new_tokens,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "presence_penalty": how.presence_penalty or None,
        "frequency_penalty": how.frequency_penalty or None,
        "stop": list(how.stop) or None,
        "seed": how.seed,
        "logit_bias": bans or None,
        "extra_body": {name: value for name, (value, off) in own.items() if value != off} or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _structured(guide: Guide | None) -> dict[str, Any] | None:
    """A form in vLLM's words. Raises SwiftError for one that it has no words for."""
    if guide is None:
        return None
    if guide.sort == "calls" or guide.opened:
        what = "forced or strict tool calls" if guide.sort == "calls" else "a form behind thoughts"
        raise SwiftError(
            f"{guide.field}: {what} cannot be asked of another server; the backend transformers knows them."
        )
    return {guide.sort: json.loads(guide.text) if guide.sort in ("json", "choice") else guide.text}


def _text(choice: Any) -> str:
    """What a choice of any of the four answer forms says: chat or completion, whole or in pieces."""
    said = getattr(choice, "delta", None) or getattr(choice, "message", None)
    return (said.content if said else choice.text) or ""


def _take(reply: Reply, chunk: Any) -> str:
    """Add one chunk of a stream to the reply; returns the new text."""
    _count(reply, chunk.usage)
    piece = ""
    for choice in chunk.choices:
        reply.finish_reason = choice.finish_reason or reply.finish_reason
        reply.cut = reply.finish_reason == "length"
        piece += _text(choice) if getattr(choice, "delta", None) or hasattr(choice, "text") else ""
    reply.text += piece
    reply.content = reply.text
    return piece


def _count(reply: Reply, usage: Any) -> None:
    if usage:
        reply.prompt_tokens, reply.completion_tokens = usage.prompt_tokens, usage.completion_tokens
