"""Rollouts: a vLLM server that follows the policy under training, and names the weights that drew each answer.

Whole weights are read again from a folder; their version is told to the server, which writes it on every answer.
A LoRA adapter is loaded under its version as its name, and the one before is taken out.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from swift_core import SwiftError
from swift_core.contract.engine import Listener, Reply, Request, Sampling
from swift_core.contract.job import Job
from swift_core.inference.conversation import stream_one
from swift_core.inference.ending import ending_of, reply_to_ids
from swift_plugin_vllm.asking import ask

if TYPE_CHECKING:
    from swift_plugin_serving.processes import ServerProcess

PARALLEL = 128
"""Requests under way at a time; the server batches what arrives."""


class Rollouts:
    """An engine whose server follows the policy. address: its url and key. name: of its model.

    lora: whether adapters are what changes. server: the process where this engine started it. Whatever ends an
    answer is ours alone, as when the model itself draws: its tokens are told to the server.
    """

    batches_itself = True

    def __init__(
        self,
        job: Job,
        processor: Any,
        address: dict[str, str],
        name: str,
        lora: bool,
        server: ServerProcess | None = None,
    ):
        self.job, self.processor, self.address, self.lora, self.server = job, processor, address, lora, server
        self.models = [name]
        self.ending = ending_of(job, getattr(processor, "tokenizer", processor))
        self.version = ""
        self.adapter: str | None = None

    def follow(self, folder: str | None, version: str) -> None:
        """Answer from now on with the policy saved in `folder` and call it `version`; None: the server knows it."""
        self.version = version
        if folder is None:
            return
        if self.lora:
            self._swap_adapter(folder, version)
        else:
            self._reload(folder, version)

    def _swap_adapter(self, folder: str, version: str) -> None:
        self._ask("/v1/load_lora_adapter", {"lora_name": version, "lora_path": folder})
        if self.adapter is not None:
            self._ask("/v1/unload_lora_adapter", {"lora_name": self.adapter})
        self.adapter = version

    def _reload(self, folder: str, version: str) -> None:
        self._ask("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": folder}})
        self._ask("/reset_prefix_cache", {})  # keys and values of the weights before
        self._ask("/update_weight_version", {"new_version": version})

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in order; SwiftError where other weights than the policy's gave one."""
        asked = [_ids_of(request) for request in requests]
        bodies = [self._body(request, ids) for request, ids in zip(requests, asked, strict=True)]
        with ThreadPoolExecutor(PARALLEL) as pool:
            try:
                answers = list(pool.map(self._answer, bodies))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        replies = [
            reply_to_ids(self.job, self.processor, request, answer, self.ending, len(ids))
            for request, answer, ids in zip(requests, answers, asked, strict=True)
        ]
        for place, reply in enumerate(replies):
            if listen:
                listen(place, reply.text)
        return replies

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """The answer in one piece."""
        return stream_one(self, request)

    def _body(self, request: Request, ids: list[int]) -> dict[str, Any]:
        model = self.version if self.lora else self.models[0]
        return {"token_ids": ids, "model": model, "sampling_params": _sampling(request.sampling, self.ending.ids)}

    def _answer(self, body: dict[str, Any]) -> list[int]:
        reply = self._ask("/inference/v1/generate", body, self.version)
        (choice,) = reply["choices"]
        named = [reply["model"]] if self.lora else [part["version"] for part in choice["weight_versions"]]
        if set(named) != {self.version}:
            raise _stale(self.version, ", ".join(named) or "an unknown version")
        return list(choice["token_ids"])

    def close(self) -> None:
        """Stop the server where this engine started it; take our adapter out of another."""
        if self.server is not None:
            self.server.stop()
        elif self.adapter is not None:
            with suppress(SwiftError):  # the server may be gone, which is not what ended the run
                self._ask("/v1/unload_lora_adapter", {"lora_name": self.adapter})

    def _ask(self, path: str, body: dict[str, Any], version: str = "") -> Any:
        """The server's answer. version: an adapter that must be there."""
        missing = _stale(version, "no adapter of that name") if version and self.lora else None
        return ask(self.address, path, body, self.server, missing)


def _ids_of(request: Request) -> list[int]:
    """The request's token ids; SwiftError where its prompt is not encoded, or has media."""
    prompt = request.prompt["input_ids"] if isinstance(request.prompt, dict) else request.prompt
    if not isinstance(prompt, list) or request.row.media:
        raise SwiftError(f"{request.where}: a server for rollouts takes prompts as token ids alone.")
    return prompt


def _sampling(how: Sampling, ends: tuple[int, ...]) -> dict[str, Any]:
    """vLLM's settings of one answer."""
    settings = {
        "max_tokens": how.max_new_tokens,
        "seed": how.seed,
        "stop_token_ids": list(ends),
        "ignore_eos": True,
        **{name: getattr(how, name) for name in ("temperature", "top_p", "top_k", "repetition_penalty")},
    }
    return {**settings, "logit_bias": {str(i): -100.0 for i in how.banned}} if how.banned else settings


def _stale(version: str, served: str) -> SwiftError:
    return SwiftError(
        f"A rollout is stale: the policy is {version}, but the vLLM server has {served}. Another run follows the same "
        "server, or it was started anew. Give this run a server of its own (leave --vllm_server_host out), and go on "
        "with --resume_from_checkpoint last."
    )
