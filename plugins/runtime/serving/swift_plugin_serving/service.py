"""Requests of clients on their way through: read, made ready, answered by the engine, written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive

from swift_core.contract.engine import Engine, Reply, Request, Sampling
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_plugin_serving import anthropic_api, fields, openai_api, responses_api
from swift_plugin_serving.anthropic_api import MessagesBody
from swift_plugin_serving.batcher import Batcher
from swift_plugin_serving.errors import UnknownModel
from swift_plugin_serving.gate import Door, Visit
from swift_plugin_serving.guides import shaped, wish_of
from swift_plugin_serving.metrics import Metrics
from swift_plugin_serving.openai_api import Body, ChatBody, CompletionBody, Written
from swift_plugin_serving.ready import Desk
from swift_plugin_serving.responses_api import ResponsesBody
from swift_plugin_serving.streams import Stream, replies_to
from swift_plugin_serving.thoughts import marks_of

Ask = Callable[[list[Request]], Awaitable[list[Reply]]]


class Service:
    """What every interface shares: the engine behind its batcher, the desk before it, and the door."""

    def __init__(self, engine: Engine, batcher: Batcher, desk: Desk, door: Door, defaults: Sampling):
        self.engine, self.desk, self.door, self.defaults = engine, desk, door, defaults
        self.metrics = Metrics()
        self.submit = self.metrics.counted(batcher.submit)

    async def chat(self, body: ChatBody, receive: Receive) -> Response:
        """POST /v1/chat/completions."""
        openai_api.check(body)
        wish, asked = wish_of(body), openai_api.chat_request(body, *self.settings(body))
        return await self._respond(body, [shaped(self.engine, asked, wish)], receive)

    async def completions(self, body: CompletionBody, receive: Receive) -> Response:
        """POST /v1/completions."""
        openai_api.check(body)
        wish, asked = wish_of(body), openai_api.prompt_requests(body, *self.settings(body))
        return await self._respond(body, [shaped(self.engine, one, wish) for one in asked], receive)

    async def messages(self, body: MessagesBody, receive: Receive) -> Response:
        """POST /v1/messages."""
        fields.check(body.model_extra or {}, fields.NEUTRAL | fields.SAMPLING)
        asked = shaped(self.engine, anthropic_api.request_of(body, *self.settings(body)), anthropic_api.wish_of(body))
        written = anthropic_api.Written(body.model or self.engine.models[0])
        return await self.respond([asked], written, written.whole, bool(body.stream), receive)

    async def responses(self, body: ResponsesBody, receive: Receive) -> Response:
        """POST /v1/responses."""
        fields.check({name: getattr(body, name) for name in responses_api.NEUTRAL}, responses_api.NEUTRAL)
        fields.check(body.model_extra or {}, fields.NEUTRAL | fields.SAMPLING)
        asked = shaped(self.engine, responses_api.request_of(body, *self.settings(body)), responses_api.wish_of(body))
        written = responses_api.Written(body, body.model or self.engine.models[0])
        return await self.respond([asked], written, written.whole, bool(body.stream), receive)

    def adapter(self, model: str | None) -> str | None:
        """The adapter that a model name means, None for the base model; 404 for a name nobody has."""
        if model is None or model == self.engine.models[0]:
            return None
        if model not in self.engine.models:
            text = f"The model {model[:200]!r} does not exist.{did_you_mean(model[:200], self.engine.models)}"
            text += f" Served are: {', '.join(self.engine.models)}."
            raise UnknownModel(404, text)
        return model

    def settings(self, body: Any) -> tuple[Sampling, str | None]:
        """(how the answers are drawn, which adapter gives them)."""
        return openai_api.sampling_of(body, self.defaults), self.adapter(body.model)

    def asker(self, receive: Receive) -> Ask:
        """Asks the engine for one client: all replies in order, or none where the client leaves."""

        async def ask(requests: list[Request]) -> list[Reply]:
            visit = Visit(self.door, receive)
            try:
                ready = await visit.during(self.desk.ready(requests))
                return await replies_to(visit, self.submit, ready)
            finally:
                visit.close()

        return ask

    async def _respond(self, body: Body, asked: list[Request], receive: Receive) -> Response:
        chat, n = isinstance(body, ChatBody), body.n or 1
        counts = bool(body.stream_options and body.stream_options.include_usage)
        parallel = getattr(body, "parallel_tool_calls", None) is not False
        likely = None if body.likelihoods() is None else await self.desk.likely()
        echoes = [text for text in self._echoes(body, asked) for _ in range(n)]
        written = Written(body.model or self.engine.models[0], chat, len(asked), counts, parallel, likely, echoes)
        return await self.respond(asked, written, written.whole, bool(body.stream), receive, n)

    def _echoes(self, body: Body, asked: list[Request]) -> list[str]:
        """The texts of the prompts, where the client wants them before the answers."""
        if not getattr(body, "echo", None):
            return []
        said = [request.prompt for request in asked]
        if self.desk.tokenizer is None and not all(isinstance(prompt, str) for prompt in said):
            raise SwiftError("echo: this server's engine does not tell what token ids stand for; send the text.")
        return [prompt if isinstance(prompt, str) else self.desk.tokenizer.decode(prompt) for prompt in said]

    async def respond(
        self,
        asked: list[Request],
        form: Any,
        whole: Callable[[list[Reply]], Any],
        stream: bool,
        receive: Receive,
        n: int = 1,
    ) -> Response:
        """The HTTP answer: whole, or a stream in `form`. n: answers to each request. Raises what `failed` knows."""
        visit = Visit(self.door, receive)
        try:
            ready = await visit.during(self.desk.ready(asked, n))
            requests = [copy for request in ready for copy in _copies(request, n)]
            marks = marks_of(self.engine, asked[0])
            if not stream:
                return JSONResponse(whole(await replies_to(visit, self.submit, requests, marks)))
            pieces = Stream(visit, self.submit, requests, form, any(r.row.tools for r in asked), marks)
            first = await pieces.first()
        except BaseException:
            visit.close()
            raise
        finally:
            if not stream:
                visit.close()
        return StreamingResponse(pieces.events(first), media_type="text/event-stream")


def _copies(request: Request, n: int) -> list[Request]:
    """`n` requests for the same question, each with its own seed."""
    seed = request.sampling.seed
    return [request if seed is None else request.drawn(seed=_seed(seed + i)) for i in range(n)]


def _seed(number: int) -> int:
    """A number as a seed of 64 bits with a sign: the one behind the last is the first."""
    return (number + 2**63) % 2**64 - 2**63
