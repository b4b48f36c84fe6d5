"""Numbers over HTTP, in the forms of OpenAI (`/v1/embeddings`), Jina and Cohere (`/v1/rerank`) and vLLM (`/v1/score`).

An engine that gives numbers has `scores_answers = True`, and its replies are JSON: `{"embedding": […]}` or
`{"score": x}`. Relevance is σ(score), between 0 and 1.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Reply, Request
from swift_core.contract.errors import SwiftError

Json = dict[str, Any]
Submit = Callable[[Request], "Future[Reply]"]


class Body(BaseModel):
    """What all three take."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    user: Any = None


class EmbeddingBody(Body):
    """The body of POST /v1/embeddings: one text or several."""

    input: str | list[str]
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


async def embeddings(body: EmbeddingBody, submit: Submit, engine: Any, adapter: str | None) -> Json:
    """Vectors of unit length, in the order of the texts."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    said = await _ask([_asked(text) for text in texts], submit, engine, adapter)
    vectors = [_number(numbers, "embedding", "embeddings") for numbers in said]
    shown = [_base64(v) if body.encoding_format == "base64" else v for v in vectors]
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(shown)]
    return {"object": "list", "model": body.model or engine.models[0], "data": data}


async def rerank(body: RerankBody, submit: Submit, engine: Any, adapter: str | None) -> Json:
    """Documents with their relevance, best first."""
    relevance = await _relevance([(body.query, text) for text in body.documents], submit, engine, adapter)
    order = sorted(range(len(relevance)), key=lambda n: -relevance[n])[: body.top_n]
    shown: list[Json] = [{"index": n, "relevance_score": relevance[n]} for n in order]
    if body.return_documents:
        shown = [{**one, "document": {"text": body.documents[n]}} for one, n in zip(shown, order, strict=True)]
    return {"model": body.model or engine.models[0], "results": shown}


async def score(body: ScoreBody, submit: Submit, engine: Any, adapter: str | None) -> Json:
    """The relevance of each pair, in order. Raises SwiftError where the two lists of texts differ in length."""
    first, second = ([t] if isinstance(t, str) else t for t in (body.text_1, body.text_2))
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise SwiftError(f"text_1 holds {len(first)} texts and text_2 {len(second)}; give as many, or one text_1.")
    relevance = await _relevance(list(zip(first, second, strict=True)), submit, engine, adapter)
    data = [{"object": "score", "index": n, "score": value} for n, value in enumerate(relevance)]
    return {"object": "list", "model": body.model or engine.models[0], "data": data}


def _asked(text: str, answer: str | None = None) -> list[Json]:
    said = [] if answer is None else [{"role": "assistant", "content": answer}]
    return [{"role": "user", "content": text}, *said]


async def _relevance(pairs: list[tuple[str, str]], submit: Submit, engine: Any, adapter: str | None) -> list[float]:
    said = await _ask([_asked(*pair) for pair in pairs], submit, engine, adapter)
    return [_logistic(_number(numbers, "score", "scores")) for numbers in said]


async def _ask(talks: list[list[Json]], submit: Submit, engine: Any, adapter: str | None) -> list[Json]:
    if not declared(engine, EngineTraits, "scores_answers"):
        raise SwiftError("The model that is served writes answers: ask it at /v1/chat/completions.")
    futures = [submit(Request.of(talk, adapter=adapter, where=f"text {n}")) for n, talk in enumerate(talks)]
    replies = await asyncio.gather(*map(asyncio.wrap_future, futures))
    return [json.loads(reply.text) for reply in replies]


def _number(numbers: Json, key: str, what: str) -> Any:
    if key not in numbers:
        raise SwiftError(f"The model that is served gives no {what}, but {', '.join(numbers)}.")
    return numbers[key]


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
