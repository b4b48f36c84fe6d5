"""Rollouts: a vLLM server that follows the policy under training, and names the weights that drew each answer.

Whole weights are read again from a folder; their version is told to the server, which writes it on every answer.
A LoRA adapter is loaded under its version as its name, and the one before is taken out.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from swift_core import SwiftError

if TYPE_CHECKING:
    from swift_plugin_vllm import Server

PARALLEL = 128
"""Requests under way at a time; the server batches what arrives."""


class Rollouts:
    """A server for rollouts. address: its url and key. name: of its model. lora: whether adapters are what changes.

    server: the process where this engine started it.
    """

    def __init__(self, address: dict[str, str], name: str, lora: bool, server: Server | None = None):
        self.address, self.name, self.lora, self.server = address, name, lora, server
        self.adapter: str | None = None

    def follow(self, folder: str, version: str) -> None:
        """Draw from now on with the policy saved in `folder`, and call it `version`."""
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

    def draw(self, prompts: list[list[int]], version: str, how: dict[str, Any]) -> list[list[int]]:
        """Token ids of one answer to each prompt; SwiftError where other weights than `version` drew one."""
        model = version if self.lora else self.name
        asked = [
            {"token_ids": ids, "model": model, "sampling_params": _sampling(how, _seed(how["seed"], place))}
            for place, ids in enumerate(prompts)
        ]
        with ThreadPoolExecutor(PARALLEL) as pool:
            try:
                return list(pool.map(lambda body: self._answer(body, version), asked))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _answer(self, body: dict[str, Any], version: str) -> list[int]:
        found = self._ask("/inference/v1/generate", body, version)
        (choice,) = found["choices"]
        named = [found["model"]] if self.lora else [part["version"] for part in choice["weight_versions"]]
        if set(named) != {version}:
            raise _stale(version, ", ".join(named) or "an unknown version")
        return list(choice["token_ids"])

    def close(self) -> None:
        """Stop the server where this engine started it; take our adapter out of another."""
        if self.server is not None:
            self.server.stop()
        elif self.adapter is not None:
            with suppress(SwiftError):  # the server may be gone, which is not what ended the run
                self._ask("/v1/unload_lora_adapter", {"lora_name": self.adapter})

    def _ask(self, path: str, body: dict[str, Any], version: str = "") -> Any:
        """The server's answer, None where it is no JSON. version: an adapter that must be there."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.address['key']}"}
        request = urllib.request.Request(self.address["url"] + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=3600) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code == 404 and version and self.lora:
                raise _stale(version, "no adapter of that name") from None
            if self.server is not None and error.code >= 500:
                self.server.check_after_failure()
            raise SwiftError(f"vLLM refused {path} ({error.code}): {error.read().decode()[:600]}") from None
        except (OSError, http.client.HTTPException) as error:
            if self.server is not None:
                self.server.check_after_failure()
            raise SwiftError(f"The vLLM server {self.address['url']} does not answer: {error}.") from None
        return json.loads(text) if text.startswith("{") else None


def _seed(seed: int, place: int) -> int:
    """A seed of its own for each answer, whatever other batches and processes draw."""
    return (seed * 100_003 + place) % 2**63


def _sampling(how: dict[str, Any], seed: int) -> dict[str, Any]:
    """vLLM's settings of one answer. Its ends are ours alone, as when the model itself draws."""
    found = {
        "max_tokens": how["max_new_tokens"],
        "seed": seed,
        "stop_token_ids": how["ends"],
        "ignore_eos": True,
        **{name: how[name] for name in ("temperature", "top_p", "top_k")},
    }
    return {**found, "logit_bias": {str(i): -100.0 for i in how["banned"]}} if how["banned"] else found


def _stale(version: str, found: str) -> SwiftError:
    return SwiftError(
        f"A rollout is stale: the policy is {version}, but the vLLM server has {found}. Another run follows the same "
        "server, or it was started anew. Give this run a server of its own (leave --vllm_server_host out), and go on "
        "with --resume_from_checkpoint last."
    )
