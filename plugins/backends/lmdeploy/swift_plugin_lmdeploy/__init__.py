"""Inference with LMDeploy (github.com/InternLM/lmdeploy): its server in an environment of its own, on NVIDIA GPUs.

LMDeploy pins torch and peft, so it is never imported here: the plugin starts its server as a subprocess and speaks
HTTP. Prompts are written by the job's own template and sent as token ids to `/generate`. That endpoint knows neither
adapters nor seeds; requests with one of them go as text to `/v1/completions`, where the text gives the same ids again.

It was not run on a GPU yet. Its words and bodies are held to the parsers and models of LMDeploy 0.18.0.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_serving.checkpoints import dtype_of, interpreter, lora_folders
from swift_plugin_serving.generating import Body, Call, GenerateEngine, Question, read_text, read_tokens
from swift_plugin_serving.processes import ServerProcess, free_port, on_gpu, served

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Backend, Requirements
from swift_core.contract.job import Job
from swift_core.inference.conversation import served_name, window_of

FOR_CUDA = (
    "torchvision triton tilelang apache-tvm-ffi flash-linear-attention nvidia-nccl-cu12 nvidia-cuda-runtime-cu12 "
    "nvidia-cublas-cu12 nvidia-curand-cu12 rdkit"
).split()
"""Demands of LMDeploy that only a GPU can use; without one, what is left still reads arguments and bodies."""

LAUNCH = (
    "import os, sys; sys.argv[1:] += ['--api-keys', os.environ.pop('LMDEPLOY_API_KEY')]; "
    "from lmdeploy.cli import run; run()"
)
"""`python -m lmdeploy`, whose key comes by a variable: words of a command are seen by every user of the machine."""

MEDIA = Unsupported(
    "LMDeploy is asked with token ids, which hold no media, and its endpoint for images was never run here: use "
    "--backend transformers, or vllm on a GPU."
)


def _requirements() -> Requirements:
    if on_gpu():
        return Requirements(("lmdeploy==0.18.0",), size="about 6 GB")
    left_out = tuple(f"{name}; sys_platform == 'never'" for name in FOR_CUDA)
    return Requirements(("lmdeploy==0.18.0", "timm"), size="about 1.7 GB", overrides=("torch==2.13.0", *left_out))


@dataclass(kw_only=True, eq=False)
class LmDeploy(Backend):
    """Answers with LMDeploy in an environment of its own: NVIDIA GPUs only; not run on one yet."""

    swift_api = 1
    environment = _requirements()
    capabilities = {
        "quantizer": Unsupported(
            "LMDeploy loads the weights itself; quantize the checkpoint first and serve the result."
        ),
        **dict.fromkeys(("image", "video", "audio"), MEDIA),
    }

    lmdeploy_backend: Literal["turbomind", "pytorch"] | None = option(
        None, "LMDeploy's engine; left out, turbomind, or pytorch where there are adapters, which only that one serves."
    )
    lmdeploy_tp: int = option(1, "GPUs over which each layer is spread, a power of two.", ge=1, aliases=("tp",))
    lmdeploy_cache_max_entry_count: float = option(
        0.8,
        "Share of the GPU memory that the weights leave free, for keys and values.",
        gt=0,
        lt=1,
        aliases=("cache_max_entry_count",),
    )
    lmdeploy_session_len: int | None = option(
        None, "Most tokens of prompt and answer together; left out, as --max_length.", ge=1, aliases=("session_len",)
    )
    lmdeploy_quant_policy: Literal["none", "int4", "int8", "fp8", "fp8_e5m2", "turbo_quant"] = option(
        "none", "How keys and values are quantized.", aliases=("quant_policy",)
    )
    lmdeploy_max_batch_size: int | None = option(
        None, "Most sequences that are answered at a time; left out, as LMDeploy chooses.", ge=1
    )
    lmdeploy_enable_prefix_caching: bool = option(False, "Keep keys and values of beginnings for later prompts.")
    lmdeploy_start_timeout: int = option(1800, "Seconds until the server must be up.", ge=1)
    lmdeploy_python: str | None = option(None, "Interpreter that has LMDeploy; left out, the plugin's own environment.")
    lmdeploy_args: list[str] = option([], "Further words for its server, such as --lmdeploy_args=--eager-mode.")

    @hookimpl
    def start_engine(self, job: Job) -> GenerateEngine:
        """A running server; SwiftError, before anything is installed or loaded, where it cannot serve the job."""
        self._check(job)
        adapters = {} if job.options.merge_lora else lora_folders(job, "LMDeploy")
        engine = self._engine(adapters)
        python = self.lmdeploy_python or interpreter(job, self)

        def start(path: str, folder: Any) -> ServerProcess:
            return self._server(job, python, path, engine, adapters, folder)

        with served(job, "lmdeploy", start, self.lmdeploy_start_timeout, "lmdeploy_start_timeout") as up:
            models = [served_name(job.options), *adapters]
            window = min(window_of(job, up.config), self.lmdeploy_session_len or window_of(job, up.config))
            dialect = LmDeployDialect(models[0], getattr(up.processor, "tokenizer", up.processor))
            return GenerateEngine(job, up.process, dialect, up.processor, up.path, models, window)

    def _check(self, job: Job) -> None:
        if not on_gpu():
            raise SwiftError(
                "LMDeploy runs on NVIDIA GPUs alone, and this machine has none (no nvidia-smi). Nothing was installed. "
                "Without a GPU use --backend transformers, or --backend vllm, which has a build for CPUs."
            )
        if job.options.torch_dtype not in ("auto", "float16", "bfloat16"):
            raise SwiftError(
                f"LMDeploy computes in float16 or bfloat16, not in {job.options.torch_dtype}: say --torch_dtype "
                "bfloat16, or --backend vllm or transformers."
            )

    def _engine(self, adapters: dict[str, str]) -> str:
        if adapters and self.lmdeploy_backend == "turbomind":
            raise SwiftError(
                "LMDeploy's turbomind serves no adapters: leave --lmdeploy_backend out, or say --merge_lora true."
            )
        return self.lmdeploy_backend or ("pytorch" if adapters else "turbomind")

    def _server(
        self, job: Job, python: str, path: str, engine: str, adapters: dict[str, str], folder: Any
    ) -> ServerProcess:
        """The started server process. engine: LMDeploy's. folder: a temporary one, which the process will own."""
        if dtype_of(job, path) == "float32":
            job.say("LMDeploy loads this float32 checkpoint in float16: --torch_dtype bfloat16 says otherwise.")
        port, key = free_port(), secrets.token_hex(16)
        variables = {**os.environ, "LMDEPLOY_API_KEY": key, "HF_HUB_OFFLINE": "1"}  # the checkpoint is local by now
        command = [python, "-c", LAUNCH, *self.words(job, path, port, engine, adapters)]
        return ServerProcess("LMDeploy", command, port, key, variables, folder)

    def words(self, job: Job, path: str, port: int, engine: str, adapters: dict[str, str]) -> list[str]:
        """What stands behind `lmdeploy`, but for the key. adapters: name → folder."""
        length = self.lmdeploy_session_len or job.options.max_length
        settings = {
            "--backend": engine,
            "--server-name": "127.0.0.1",  # LMDeploy's own default is every address
            "--server-port": port,
            "--model-name": served_name(job.options),
            "--dtype": job.options.torch_dtype,
            "--tp": self.lmdeploy_tp,
            "--cache-max-entry-count": self.lmdeploy_cache_max_entry_count,
            "--quant-policy": self.lmdeploy_quant_policy,
            "--generation-config": "lmdeploy",  # not the checkpoint's: what the request leaves out is our default
            **({"--session-len": length} if length else {}),
            **({"--max-batch-size": self.lmdeploy_max_batch_size} if self.lmdeploy_max_batch_size else {}),
        }
        words = ["serve", "api_server", path, *(str(word) for pair in settings.items() for word in pair)]
        words += ["--disable-fastapi-docs"]
        words += ["--enable-prefix-caching"] * self.lmdeploy_enable_prefix_caching
        words += ["--trust-remote-code"] * job.options.trust_remote_code
        named = [f"{name}={folder}" for name, folder in adapters.items()]
        return [*words, *(["--adapters", *named] if named else []), *self.lmdeploy_args]


@dataclass(frozen=True)
class LmDeployDialect:
    """What LMDeploy 0.18 understands. model: the served one's name. tokenizer: the model's.

    Texts that end an answer are not sent to `/generate`: LMDeploy ends at any token that contains one.
    """

    model: str
    tokenizer: Any

    def call(self, question: Question) -> Call:
        """`/generate` with ids; for adapters and seeds `/v1/completions` with text. SwiftError for what neither can."""
        refuse(question)
        request = question.request
        if request.adapter is not None or _seeded(question):
            return Call("/v1/completions", self._texts(question), read_text, texts=True)
        body = {
            **_settings(question),
            "input_ids": question.ids,
            "max_tokens": question.limit,
            "stop_token_ids": list(question.ends),
            "include_stop_str_in_output": True,
        }
        return Call("/generate", body, read_tokens)

    def _texts(self, question: Question) -> Body:
        """The body of `/v1/completions`, whose `stop` ends an answer at special tokens; the engine sees other ends."""
        request, special = question.request, {*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}
        body = {
            **_settings(question),
            "model": request.adapter or self.model,
            "prompt": self._text(question),
            "max_completion_tokens": question.limit,
            "stop": [self.tokenizer.decode([token]) for token in question.ends if token in special],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return {**body, "seed": request.sampling.seed} if _seeded(question) else body

    def _text(self, question: Question) -> str:
        """The prompt as text that LMDeploy reads as the same ids."""
        text = str(self.tokenizer.decode(question.ids, skip_special_tokens=False))
        if list(self.tokenizer(text)["input_ids"]) == question.ids:
            return text
        bos = self.tokenizer.bos_token
        if bos and text.startswith(bos) and list(self.tokenizer(text[len(bos) :])["input_ids"]) == question.ids:
            return text[len(bos) :]
        raise SwiftError(
            f"{question.request.where}: LMDeploy takes a prompt with an adapter or a seed as text, and this one's "
            "tokens would be others when read back. Leave both out (--merge_lora true serves one adapter as the model)."
        )


def refuse(question: Question) -> None:
    """Raise SwiftError that names what LMDeploy cannot do of a question."""
    how, asked = question.request.sampling, question.request
    reasons = {
        "logit_bias": how.logit_bias and "it does not add to tokens' scores",
        "banned": how.banned and "it cannot keep tokens from being drawn",
        "ignore_eos": how.ignore_eos and "it would never draw an end, rather than go on behind one",
        "temperature": how.temperature > 2 and "it draws at temperatures up to 2",
        "top_p": how.top_p <= 0 and "top_p is above 0 there",
        "stop_token_ids": how.stop_ids
        and (asked.adapter is not None or _seeded(question))
        and "with an adapter or a seed it is asked with texts, where no token ids end an answer",
    }
    for name, reason in reasons.items():
        if reason:
            raise SwiftError(f"{asked.where}: LMDeploy cannot do {name}: {reason}.")


def _seeded(question: Question) -> bool:
    """Whether a seed changes the answer."""
    how = question.request.sampling
    return how.seed is not None and how.temperature > 0 and how.top_k != 1


def _settings(question: Question) -> Body:
    """How the answer is drawn. All of it is said: LMDeploy's own top_k is 50, its temperature 0.8."""
    how, greedy = question.request.sampling, question.request.sampling.temperature == 0
    return {
        "temperature": 1.0 if greedy else how.temperature,
        "top_k": 1 if greedy else how.top_k,
        "top_p": how.top_p,
        "min_p": how.min_p,
        "repetition_penalty": how.repetition_penalty,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "stream": question.stream,
    }
