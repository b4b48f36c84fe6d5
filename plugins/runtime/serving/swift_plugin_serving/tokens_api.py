"""vLLM's `/tokenize` and `/detokenize`: the model's own words for a prompt, and back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from swift_core.contract.engine import Request
from swift_core.contract.errors import SwiftError
from swift_plugin_serving.openai_api import AnyBody, Json, conversation
from swift_plugin_serving.service import Service

Id = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


class TokenizeBody(AnyBody):
    """The body of POST /tokenize: a text, or a conversation as the template writes it."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Json] | None = Field(None, min_length=1)
    tools: list[Json] | None = None
    add_special_tokens: bool = True
    return_token_strs: bool = False


class DetokenizeBody(AnyBody):
    """The body of POST /detokenize: token ids."""

    model: str | None = None
    tokens: list[Id]


async def tokenize(body: TokenizeBody, service: Service) -> Json:
    """The ids, how many they are, and how many the model takes. Raises SwiftError where the engine has no tokenizer."""
    adapter, tokenizer = service.adapter(body.model), _tokenizer(service)
    if (body.prompt is None) == (body.messages is None):
        raise SwiftError("Say prompt or messages, and not both.")
    if body.messages is not None:
        request = conversation(body.messages, body.tools or [], service.defaults, adapter)
        ids = await prompt_ids(request, service)
    else:
        service.desk.check_length(Request.of(prompt=body.prompt, where="prompt"))
        ids = await service.desk.tokenizing(_ids, tokenizer, body.prompt, body.add_special_tokens)
    words = tokenizer.convert_ids_to_tokens(ids) if body.return_token_strs else None
    return {"count": len(ids), "max_model_len": service.desk.window, "tokens": ids, "token_strs": words}


async def prompt_ids(request: Request, service: Service) -> list[int]:
    """The ids of a conversation as the engine will see it. Raises SwiftError where it does not tokenize here."""
    ready = (await service.desk.ready([request]))[0]
    if not isinstance(ready.prompt, dict):
        raise SwiftError("The engine of this server tokenizes elsewhere.")
    return list(ready.prompt["input_ids"])


async def detokenize(body: DetokenizeBody, service: Service) -> Json:
    """The text of the ids. Raises SwiftError for an id that the tokenizer does not have."""
    service.adapter(body.model)
    tokenizer = _tokenizer(service)
    strange = next((token for token in body.tokens if token >= len(tokenizer)), None)
    if strange is not None:
        raise SwiftError(f"tokens: the tokenizer knows ids from 0 to {len(tokenizer) - 1}, not {strange}.")
    return {"prompt": await service.desk.tokenizing(_text, tokenizer, body.tokens)}


def _tokenizer(service: Service) -> Any:
    if service.desk.tokenizer is None:
        raise SwiftError("The engine of this server has no tokenizer here.")
    return service.desk.tokenizer


def _ids(tokenizer: Any, text: str, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False))
