"""llama.cpp, the real one, over a GGUF file: what it answers to token ids, and how it cuts text (package xllamacpp)."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class LlamaCpp:
    """A GGUF file loaded for one answer at a time, its keys and values in float32 as transformers has them.

    adapters: GGUF adapters that `greedy` may name by their place. context: most tokens of prompt and answer together.
    """

    def __init__(self, file: str | Path, adapters: Sequence[str | Path] = (), context: int = 512):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_ctx, params.n_parallel = context, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.warmup, params.verbosity = False, -1
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in adapters]
        self.server, self.adapters = xllamacpp.Server(params), len(adapters)

    def greedy(self, ids: Sequence[int], count: int, adapter: int | None = None) -> list[int]:
        """The ids of the likeliest answer of at most `count` tokens, with the one that ended it."""
        loras = [{"id": place, "scale": float(place == adapter)} for place in range(self.adapters)]
        asked = {"prompt": list(ids), "n_predict": count, "temperature": 0.0, "lora": loras}
        answer = self.post("/completion", {**asked, "return_tokens": True, "cache_prompt": False})
        return list(answer["tokens"])

    def ids_of(self, text: str, special: bool = True) -> list[int]:
        """The text as token ids. special: with what the tokenizer puts around it, control tokens read as such."""
        body = {"content": text, "add_special": special, "parse_special": special}
        return list(self.post("/tokenize", body)["tokens"])

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """What its own HTTP server, on this machine alone, answers."""
        request = urllib.request.Request(
            self.server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
