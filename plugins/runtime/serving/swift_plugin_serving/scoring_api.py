"""Numbers over HTTP, in the forms of OpenAI (`/v1/embeddings`), Jina and Cohere (`/v1/rerank`) and vLLM (`/v1/score`).

An engine that gives numbers has `scores_answers = True`, and its replies are JSON: `{"embedding": […]}` or
`{"score": x}`. Relevance is σ(score), between 0 and 1.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any, Literal

from pydantic import Field, StrictInt

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Request
from swift_core.contract.errors import SwiftError
from swift_plugin_serving.errors import BadField
from swift_plugin_serving.openai_api import AnyBody
from swift_plugin_serving.service import Ask, Service

Json = dict[str, Any]


class Body(AnyBody):
    """What all three take."""

    model: str | None = None


class EmbeddingBody(Body):
    """The body of POST /v1/embeddings: one text or several, also as the model's own token ids.

    dimensions: how many numbers of each vector are wanted; the first ones, made to unit length again.
    """

    input: str | list[StrictInt] | list[str] | list[list[StrictInt]]
    dimensions: int | None = Field(None, ge=1)
    encoding_format: Literal["float", "base64"] = "float"


class RerankBody(Body):
    """The body of POST /v1/rerank: a query and documents, of which the `top_n` best are wanted."""

    query: str
    documents: list[str] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = True


class ScoreBody(Body):
    """The body of POST /v1/score: pairs of texts; one first text goes with every second one."""

    text_1: str | list[str]
    text_2: str | list[str]


async def embeddings(body: EmbeddingBody, ask: Ask, service: Service) -> Json:
    """Vectors of unit length, in the order of the texts, and how many tokens those have.

    Raises BadField for more dimensions than the vectors have.
    """
    several = isinstance(body.input, list) and bool(body.input) and not isinstance(body.input[0], int)
    texts: list[Any] = body.input if several else [body.input]  # type: ignore[assignment]
    said, asked = await _numbers(texts, body.model, ask, service)
    vectors = [_cut(_number(numbers, "embedding", "embeddings"), body.dimensions) for numbers in said]
    shown = [_base64(v) if body.encoding_format == "base64" else v for v in vectors]
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(shown)]
    usage = {"prompt_tokens": asked, "total_tokens": asked}
    return {"object": "list", "model": body.model or service.engine.models[0], "data": data, "usage": usage}


def _cut(vector: list[float], dimensions: int | None) -> list[float]:
    if not dimensions or dimensions == len(vector):
        return vector
    if dimensions > len(vector):
        raise BadField("dimensions", f"dimensions={dimensions}, and the model's vectors have {len(vector)}.")
    length = math.hypot(*vector[:dimensions]) or 1.0
    return [value / length for value in vector[:dimensions]]


async def rerank(body: RerankBody, ask: Ask, service: Service) -> Json:
    """Documents with their relevance, best first."""
    relevance = await _relevance([(body.query, text) for text in body.documents], body.model, ask, service)
    order = sorted(range(len(relevance)), key=lambda n: -relevance[n])[: body.top_n]
    shown: list[Json] = [{"index": n, "relevance_score": relevance[n]} for n in order]
    if body.return_documents:
        shown = [{**one, "document": {"text": body.documents[n]}} for one, n in zip(shown, order, strict=True)]
    return {"model": body.model or service.engine.models[0], "results": shown}


async def score(body: ScoreBody, ask: Ask, service: Service) -> Json:
    """The relevance of each pair, in order. Raises SwiftError where the two lists of texts differ in length."""
    first, second = ([t] if isinstance(t, str) else t for t in (body.text_1, body.text_2))
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise SwiftError(f"text_1 holds {len(first)} texts and text_2 {len(second)}; give as many, or one text_1.")
    relevance = await _relevance(list(zip(first, second, strict=True)), body.model, ask, service)
    data = [{"object": "score", "index": n, "score": value} for n, value in enumerate(relevance)]
    return {"object": "list", "model": body.model or service.engine.models[0], "data": data}


def _asked(text: str, answer: str | None = None) -> list[Json]:
    said = [] if answer is None else [{"role": "assistant", "content": answer}]
    return [{"role": "user", "content": text}, *said]


async def _relevance(pairs: list[tuple[str, str]], model: str | None, ask: Ask, service: Service) -> list[float]:
    said, _ = await _numbers([_asked(*pair) for pair in pairs], model, ask, service)
    return [_logistic(_number(numbers, "score", "scores")) for numbers in said]


async def _numbers(asked: list[Any], model: str | None, ask: Ask, service: Service) -> tuple[list[Json], int]:
    """What the model finds in each conversation, text or list of token ids; and how many tokens they have."""
    adapter = service.adapter(model)
    if not declared(service.engine, EngineTraits, "scores_answers"):
        raise SwiftError("The model that is served writes answers: ask it at /v1/chat/completions.")
    replies = await ask([_request(one, adapter, f"text {n}") for n, one in enumerate(asked)])
    return [json.loads(reply.text) for reply in replies], sum(reply.prompt_tokens for reply in replies)


def _request(asked: Any, adapter: str | None, where: str) -> Request:
    if isinstance(asked, list) and (not asked or isinstance(asked[0], int)):
        return Request.of(prompt=asked, adapter=adapter, where=where)
    return Request.of(_asked(asked) if isinstance(asked, str) else asked, adapter=adapter, where=where)


def _number(numbers: Json, key: str, what: str) -> Any:
    if key not in numbers:
        raise SwiftError(f"The model that is served gives no {what}, but {', '.join(numbers)}.")
    return numbers[key]


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
