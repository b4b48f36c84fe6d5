"""Inference with SGLang (Zheng et al., arXiv 2312.07104): its server in an environment of its own, on NVIDIA GPUs.

SGLang pins torch and twenty packages for CUDA, so it is never imported here: the plugin starts its server as a
subprocess and speaks HTTP. Prompts are written by the job's own template and sent as token ids to `/generate`, which
gives token ids back; adapters are named there.

It was not run on a GPU yet. Its words and bodies are held to the parsers and models of SGLang 0.5.23.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swift_plugin_serving.checkpoints import dtype_of, interpreter, lora_folders, rank_of
from swift_plugin_serving.generating import Body, Call, GenerateEngine, Question, read_tokens
from swift_plugin_serving.processes import ServerProcess, free_port, on_gpu, served

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Backend, Requirements
from swift_core.contract.job import Job
from swift_core.inference.conversation import served_name, window_of

FOR_CUDA = (
    "torchaudio torchcodec cuda-python flash-attn-4 flashinfer_python humming-kernels nvidia-cutlass-dsl nvidia-mathdx "
    "nvshmem4py-cu13 quack-kernels sgl-deep-ep sgl-deep-gemm sgl-flash-mla sglang-kernel tilelang torch_memory_saver "
    "kernels deepseek-recipe tml-renderers timm datasets modelscope smg-grpc-servicer"
).split()
"""Demands of SGLang that only a GPU can use; without one, what is left still reads arguments and bodies."""

MEDIA = Unsupported(
    "SGLang is asked with token ids, which hold no media, and its fields for media were never run here: use "
    "--backend transformers, or vllm on a GPU."
)


def _requirements() -> Requirements:
    if on_gpu():
        return Requirements(("sglang==0.5.23",), size="about 10 GB")
    left_out = tuple(f"{name}; sys_platform == 'never'" for name in FOR_CUDA)
    parser = ("sglang==0.5.23", "triton", "dill", "apache-tvm-ffi==0.1.11")
    return Requirements(parser, size="about 1.6 GB", overrides=("torch==2.13.0", "torchvision==0.28.0", *left_out))


@dataclass(kw_only=True, eq=False)
class SgLang(Backend):
    """Answers with SGLang in an environment of its own: NVIDIA GPUs only; not run on one yet."""

    swift_api = 1
    environment = _requirements()
    capabilities = {
        "quantizer": Unsupported(
            "SGLang loads the weights itself; quantize the checkpoint first and serve the result."
        ),
        **dict.fromkeys(("image", "video", "audio"), MEDIA),
    }

    sglang_tp_size: int = option(1, "GPUs over which each layer is spread.", ge=1, aliases=("tp_size",))
    sglang_pp_size: int = option(1, "Groups of GPUs over which the layers are spread.", ge=1)
    sglang_dp_size: int = option(1, "Copies of the model that share the requests.", ge=1)
    sglang_mem_fraction_static: float | None = option(
        None,
        "Share of the GPU's memory for weights, keys and values; left out, as SGLang chooses.",
        gt=0,
        lt=1,
        aliases=("mem_fraction_static",),
    )
    sglang_context_length: int | None = option(
        None, "Most tokens of prompt and answer together; left out, as --max_length.", ge=1, aliases=("context_length",)
    )
    sglang_quantization: str | None = option(
        None, "How the weights are quantized while they are loaded, as SGLang names it: fp8, w8a8_int8 …"
    )
    sglang_kv_cache_dtype: Literal["auto", "bfloat16", "fp8_e5m2", "fp8_e4m3"] = option(
        "auto", "Precision of keys and values; auto is the model's."
    )
    sglang_deterministic: bool = option(
        False, "Draw by the seed of each request (--enable-deterministic-inference of SGLang, slower)."
    )
    sglang_disable_cuda_graph: bool = option(False, "Do not capture CUDA graphs: slower answers, quicker start.")
    sglang_start_timeout: int = option(1800, "Seconds until the server must be up.", ge=1)
    sglang_python: str | None = option(None, "Interpreter that has SGLang; left out, the plugin's own environment.")
    sglang_args: list[str] = option([], "Further words for its server, such as --sglang_args=--disable-radix-cache.")

    @hookimpl
    def start_engine(self, job: Job) -> GenerateEngine:
        """A running server; SwiftError, before anything is installed or loaded, where it cannot serve the job."""
        if not on_gpu():
            raise SwiftError(
                "SGLang is served on NVIDIA GPUs alone, and this machine has none (no nvidia-smi). Nothing was "
                "installed. Without a GPU use --backend transformers, or --backend vllm, which has a build for CPUs."
            )
        adapters = {} if job.options.merge_lora else lora_folders(job, "SGLang")
        python = self.sglang_python or interpreter(job, self)

        def start(path: str, folder: Any) -> ServerProcess:
            return self._server(job, python, path, adapters, folder)

        with served(job, "sglang", start, self.sglang_start_timeout, "sglang_start_timeout") as up:
            window = min(window_of(job, up.config), self.sglang_context_length or window_of(job, up.config))
            dialect, models = SgLangDialect(self.sglang_deterministic), [served_name(job.options), *adapters]
            return GenerateEngine(job, up.process, dialect, up.processor, up.path, models, window)

    def _server(self, job: Job, python: str, path: str, adapters: dict[str, str], folder: Any) -> ServerProcess:
        """The started server process. folder: a temporary one, readable by us alone, which the process will own."""
        port, key, config = free_port(), secrets.token_hex(16), Path(folder.name, "key.yaml")
        config.write_text(f'api-key: "{key}"\n', encoding="utf-8")  # words of a command are seen by every user
        words = [*self.words(job, path, port, adapters), "--config", str(config)]
        variables = {**os.environ, "HF_HUB_OFFLINE": "1"}  # the checkpoint is local by now
        return ServerProcess("SGLang", [python, "-m", "sglang.launch_server", *words], port, key, variables, folder)

    def words(self, job: Job, path: str, port: int, adapters: dict[str, str]) -> list[str]:
        """The words of the server, but for the key. adapters: name → folder."""
        settings = {
            "--model-path": path,
            "--host": "127.0.0.1",
            "--port": port,
            "--served-model-name": served_name(job.options),
            "--dtype": dtype_of(job, path),
            "--tp-size": self.sglang_tp_size,
            "--pp-size": self.sglang_pp_size,
            "--dp-size": self.sglang_dp_size,
            "--kv-cache-dtype": self.sglang_kv_cache_dtype,
            "--random-seed": job.options.seed,
            "--sampling-defaults": "openai",  # not the checkpoint's: what the request leaves out is our default
            "--mem-fraction-static": self.sglang_mem_fraction_static,
            "--context-length": self.sglang_context_length or job.options.max_length,
            "--quantization": self.sglang_quantization,
        }
        words = [str(word) for name, value in settings.items() if value is not None for word in (name, value)]
        words += ["--incremental-streaming-output"]  # each event has the new tokens alone
        words += ["--enable-deterministic-inference"] * self.sglang_deterministic
        words += ["--trust-remote-code"] * job.options.trust_remote_code
        if self.sglang_disable_cuda_graph:
            words += ["--cuda-graph-backend-decode", "disabled", "--cuda-graph-backend-prefill", "disabled"]
        return [*words, *_lora_words(adapters), *self.sglang_args]


def _lora_words(adapters: dict[str, str]) -> list[str]:
    if not adapters:
        return []
    rank = max(rank_of(Path(folder)) for folder in adapters.values())
    named = [f"{name}={folder}" for name, folder in adapters.items()]
    return ["--enable-lora", "--max-lora-rank", str(rank), "--lora-paths", *named]


@dataclass(frozen=True)
class SgLangDialect:
    """What SGLang 0.5 understands. deterministic: whether it draws by seeds.

    Texts that end an answer are not sent: the engine sees them in the answer, and hangs up.
    """

    deterministic: bool

    def call(self, question: Question) -> Call:
        """`/generate` with ids; SwiftError for what SGLang cannot do."""
        refuse(question, self.deterministic)
        body = {"input_ids": question.ids, "sampling_params": _settings(question), "stream": question.stream}
        if question.request.adapter is not None:
            body["lora_path"] = question.request.adapter
        return Call("/generate", body, read_tokens)


def refuse(question: Question, deterministic: bool) -> None:
    """Raise SwiftError that names what SGLang cannot do of a question. deterministic: whether it draws by seeds."""
    how = question.request.sampling
    reasons = {
        "seed": _seeded(question) and not deterministic and "it draws by seeds only with --sglang_deterministic true",
        "repetition_penalty": not 0 < how.repetition_penalty <= 2 and "it is above 0 and up to 2 there",
        "top_p": not 0 < how.top_p <= 1 and "it is above 0 and up to 1 there",
    }
    for name, reason in reasons.items():
        if reason:
            raise SwiftError(f"{question.request.where}: SGLang cannot do {name}: {reason}.")


def _seeded(question: Question) -> bool:
    """Whether a seed changes the answer."""
    how = question.request.sampling
    return how.seed is not None and how.temperature > 0 and how.top_k != 1


def _settings(question: Question) -> Body:
    """How the answer is drawn. SGLang's top_k is -1 where it is off; a temperature of 0 is greedy there, too."""
    how = question.request.sampling
    bias = {str(token): value for token, value in how.logit_bias} | {str(token): -100.0 for token in how.banned}
    settings = {
        "max_new_tokens": question.limit,
        "stop_token_ids": list(question.ends),
        "temperature": how.temperature,
        "top_p": how.top_p,
        "top_k": how.top_k or -1,
        "min_p": how.min_p,
        "repetition_penalty": how.repetition_penalty,
        "ignore_eos": how.ignore_eos,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
    }
    settings |= {"logit_bias": bias} if bias else {}
    return {**settings, "sampling_seed": how.seed} if _seeded(question) else settings
