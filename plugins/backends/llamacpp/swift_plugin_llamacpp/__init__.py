"""Inference with llama.cpp (github.com/ggml-org/llama.cpp) in this process, through the package xllamacpp.

xllamacpp is llama.cpp's own server, compiled: continuous batching, no torch, no compiler, 34 MB. It needs no
environment of its own, since it pins nothing. Prompts are written by the job's own template and sent as token ids. A
checkpoint that is no GGUF file is written as one first, by the exporter `gguf`, and kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Backend
from swift_core.contract.job import Job
from swift_core.inference.conversation import served_name, window_of
from swift_core.job.gguf_header import gguf_of
from swift_core.jobs.announce import say_model
from swift_core.jobs.steps import adapters_by_name, load_adapters, load_model, load_processor, merge_adapters
from swift_core.system import processors

if TYPE_CHECKING:
    from swift_plugin_llamacpp.engine import LlamaCppEngine

USUAL_CONTEXT = 4096
"""Tokens of one conversation for which keys and values are held, where nobody says more."""


@dataclass(kw_only=True, eq=False)
class LlamaCpp(Backend):
    """Answers with llama.cpp: GGUF files or checkpoints, on CPUs and what llama.cpp was built for, LoRA by name."""

    swift_api = 1
    capabilities = {
        "quantizer": Unsupported("llama.cpp has types of its own: say --llamacpp_type q8_0."),
        "image": Unsupported("This backend sends token ids, and llama.cpp's images are no tokens."),
    }

    llamacpp_type: Literal["auto", "f32", "f16", "bf16", "q8_0"] = option(
        "auto", "How a checkpoint that is no GGUF file is written; auto: in its own precision."
    )
    llamacpp_cache_type: Literal["auto", "f32", "f16", "bf16", "q8_0"] = option(
        "auto", "How keys and values are held; auto: f32 beside float32 weights, else f16."
    )
    llamacpp_context: int | None = option(
        None,
        "Tokens of one conversation, prompt and answer together; left out, the model's own, at most 4096.",
        ge=1,
    )
    llamacpp_threads: int | None = option(
        None, "Threads; left out, $OMP_NUM_THREADS, or as many as this process may use.", ge=1
    )
    llamacpp_gpu_layers: int | None = option(
        None, "Layers that are put on a GPU; left out, as many as fit. The wheel on PyPI is for CPUs and Macs.", ge=0
    )
    llamacpp_lora: list[str] = option([], "GGUF adapters that requests may name: --llamacpp_lora name=FILE.gguf.")
    llamacpp_verbose: bool = option(False, "Print llama.cpp's own log.")

    @hookimpl
    def start_engine(self, job: Job) -> LlamaCppEngine:
        from swift_plugin_llamacpp.engine import LlamaCppEngine
        from swift_plugin_llamacpp.files import exported, read_tokenizer

        if job.card.task != "causal_lm":
            raise SwiftError(f"llama.cpp writes answers here; for {job.card.task!r} say --backend transformers.")
        place = TemporaryDirectory(prefix="swift-llamacpp-")
        try:
            file = gguf_of(job.options.model)
            if file is not None:
                path = read_tokenizer(job, file)
            elif job.options.merge_lora:
                path = _merged(job, place.name)
            else:
                path = job.hook.resolve_checkpoint(
                    job=job, model=job.options.model, revision=job.options.model_revision
                )
            adapters = self._named_files() | self._adapters(job, file, path)
            config = job.hook.load_config(job=job, path=path)
            processor = load_processor(job, path, config)
            file = file or exported(job, path, self.llamacpp_type, place.name if job.options.merge_lora else None)
            say_model(job)
            window = self._window(job, config)
            server = self._server(job, file, adapters, config, window)
            return LlamaCppEngine(job, server, processor, [served_name(job.options), *adapters], window, _slots(job))
        finally:
            place.cleanup()

    def _adapters(self, job: Job, file: Path | None, path: str) -> dict[str, Path]:
        """Adapter name → GGUF adapter, written where it is not kept yet."""
        from swift_plugin_llamacpp.files import exported_adapters

        named = {} if job.options.merge_lora and file is None else adapters_by_name(job)
        if named and file is not None:
            raise SwiftError(
                "Beside a GGUF file adapters are GGUF files too: write them with `swift export --exporter gguf`, and "
                "say --llamacpp_lora NAME=FILE.gguf."
            )
        return exported_adapters(job, path, named)

    def _named_files(self) -> dict[str, Path]:
        """The adapters of --llamacpp_lora by name."""
        pairs = [word.partition("=") for word in self.llamacpp_lora]
        files = {name: Path(file) for name, _, file in pairs}
        wrong = [word for word, (_, _, file) in zip(self.llamacpp_lora, pairs, strict=True) if not Path(file).is_file()]
        if wrong or len(files) < len(pairs):
            raise SwiftError(
                f"--llamacpp_lora {' '.join(self.llamacpp_lora)}: say NAME=FILE.gguf, each with a name of its own and "
                f"a file that exists. Wrong: {', '.join(wrong) or 'a name that stands twice'}."
            )
        return files

    def _window(self, job: Job, config: Any) -> int:
        """Tokens of one conversation; what is given up is said."""
        possible = window_of(job, config)
        window = min(possible, self.llamacpp_context or USUAL_CONTEXT)
        if window < possible and not self.llamacpp_context:
            job.say(f"Room for {window} tokens a conversation, of {possible}; more: --llamacpp_context N.")
        return window

    def _server(self, job: Job, file: Path, adapters: dict[str, Path], config: Any, window: int) -> Any:
        """llama.cpp's server over the file. SwiftError where it cannot load it."""
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_parallel = _slots(job)
        params.n_ctx = window * params.n_parallel
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self.llamacpp_threads or _threads()
        kind = self.llamacpp_cache_type
        if kind == "auto":
            kind = "f32" if _is_float32(job, config) else "f16"
        if kind == "f32":  # flash attention rounds on the way, whatever it reads
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kind.upper()}")
        params.cache_ram_mib = 0  # what earlier answers left is not kept beside the slots
        params.special = True  # ends and calls may be control tokens
        params.warmup = False
        params.verbosity = 3 if self.llamacpp_verbose else -1
        params.api_keys = [os.urandom(16).hex()]  # its HTTP server is not used, and nobody else may use it
        if self.llamacpp_gpu_layers is not None:
            params.n_gpu_layers = self.llamacpp_gpu_layers
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in adapters.values()]
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            names = ", ".join(map(str, [file, *adapters.values()]))
            raise SwiftError(
                f"llama.cpp cannot load {names}: {error} Its log says why: --llamacpp_verbose true."
            ) from None


def _merged(job: Job, folder: str) -> str:
    """The checkpoint with the adapters folded in, written into `folder`."""
    model, processor = load_model(job)
    model = merge_adapters(job, load_adapters(job, model))
    path = str(Path(folder, "merged"))
    job.hook.save_model(job=job, model=model, processor=processor, folder=path)
    return path


def _slots(job: Job) -> int:
    """How many conversations are answered at a time."""
    return int(getattr(job.options, "max_batch_size", 8))


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or processors())


def _is_float32(job: Job, config: Any) -> bool:
    dtype = job.options.torch_dtype
    return str(config.dtype if dtype == "auto" else dtype).removeprefix("torch.") == "float32"
