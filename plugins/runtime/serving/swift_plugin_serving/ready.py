"""Requests made ready before they meet others in a batch: media opened, limits held, prompts checked and tokenized.

Whatever is wrong with a request is found here, where it has nobody beside it, and outside the engine's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Engine, Request
from swift_core.contract.errors import SwiftError, TooLong
from swift_core.inference.conversation import ignored
from swift_plugin_serving.errors import BadField
from swift_plugin_serving.likely import Likely
from swift_plugin_serving.media import Rules, open_media
from swift_plugin_serving.settings import Settings

OPENERS = 32
"""Threads that fetch and open media. A slow host holds one, and no request without media."""

FIELDS = {"min_new_tokens": "min_tokens", "prompt_logprobs": "echo"}
"""Fields of `Sampling` that clients call by another name."""


class Desk:
    """Makes requests ready for the engine.

    window: most tokens of a prompt and its answer, None where the engine does not say. tokenizer: the model's, None
    where the engine has none here.
    """

    def __init__(self, engine: Engine, settings: Settings):
        self.engine = engine
        self.rules, self.most = Rules.of(settings), settings.max_inputs
        self.window: int | None = declared(engine, EngineTraits, "window")
        self.tokenizer: Any = declared(engine, EngineTraits, "tokenizer")
        self.prepared: Callable[[Request], Request] = declared(engine, EngineTraits, "prepared")
        self.openers = ThreadPoolExecutor(OPENERS, thread_name_prefix="media")
        self.encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")  # tokenizers are not made for several
        self.words: Likely | None = None
        self.longest = _longest(self.tokenizer) if self.window and self.tokenizer else 0

    async def ready(self, requests: list[Request], answers: int = 1) -> list[Request]:
        """The same requests, ready. answers: to each. Raises SwiftError, about the first that cannot be asked."""
        if len(requests) * answers > self.most:
            raise SwiftError(f"{len(requests) * answers} answers are asked for; one request may ask for {self.most}.")
        for request in requests:
            self.check_obeyed(request)
            self.check_length(request)
        loop = asyncio.get_running_loop()
        if any(request.row.media for request in requests):
            requests = await self._opened(requests)
        return [await loop.run_in_executor(self.encoder, self.prepared, request) for request in requests]

    async def likely(self) -> Likely:
        """What writes the likelihoods of tokens. Raises BadField where the engine has no tokenizer here."""
        if self.tokenizer is None:
            raise BadField("logprobs", "logprobs is not supported by this server's engine.")
        if self.words is None:
            self.words = await self.tokenizing(Likely, self.tokenizer)
        return self.words

    async def _opened(self, requests: list[Request]) -> list[Request]:
        """The requests with their media. The time counts from here, so that a name that is long looked up counts."""
        loop = asyncio.get_running_loop()
        opening = [loop.run_in_executor(self.openers, open_media, one, self.rules) for one in requests]
        try:
            return list(await asyncio.wait_for(asyncio.gather(*opening), self.rules.seconds + 1))
        except TimeoutError:
            raise SwiftError(f"The media did not come within {self.rules.seconds:g} seconds.") from None

    async def tokenizing(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` gives, in the one thread that uses the tokenizer."""
        return await asyncio.get_running_loop().run_in_executor(self.encoder, work, *arguments)

    def check_obeyed(self, request: Request) -> None:
        """BadField where the engine would ignore what the request says about its answer."""
        for name in ignored(self.engine, request.sampling):
            guide = request.sampling.guide
            field = guide.field if name == "guide" and guide else FIELDS.get(name, name)
            raise BadField(field, f"{field} is not supported by this server's engine.")

    def check_length(self, request: Request) -> None:
        """TooLong for a prompt that has more characters than so many tokens can stand for: it is not tokenized."""
        if self.window and self.longest and (said := _characters(request)) > self.window * self.longest:
            raise TooLong(f"{request.where}: the prompt has {said} characters, more than {self.window} tokens, the "
                          "most of prompt and answer together, can hold. Shorten the prompt.")  # fmt: skip

    def close(self) -> None:
        """Stop the threads; what they do now ends by itself."""
        self.openers.shutdown(wait=False, cancel_futures=True)
        self.encoder.shutdown(wait=False, cancel_futures=True)


def _longest(tokenizer: Any) -> int:
    """Characters of the longest token; its bytes, where tokens are bytes, are never fewer."""
    return max((len(token) for token in tokenizer.get_vocab()), default=0)


def _characters(request: Request) -> int:
    if request.prompt is not None:
        return len(request.prompt) if isinstance(request.prompt, str) else 0
    return sum(len(message.get("content") or "") for message in request.row.messages)
