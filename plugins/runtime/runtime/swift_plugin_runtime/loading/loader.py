"""The generic loader: a checkpoint folder in transformers' layout becomes config, model and processor."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.job import Job
from swift_core.job.gguf_header import gguf_of
from swift_core.templates.encode import encode_spans
from swift_core.templates.render import spans_of
from swift_plugin_runtime.loading import heads, hub
from swift_plugin_runtime.loading.gguf import unpacked

if TYPE_CHECKING:
    import torch

AUTO_CLASSES = {
    "embedding": "AutoModel",
    "prm": "AutoModelForTokenClassification",
}
"""A card's task → the auto class that loads it, where the architecture itself is not in transformers."""


@dataclass(kw_only=True, eq=False)
class Transformers:
    """Loads any transformers checkpoint: Hugging Face, ModelScope or a local folder; safetensors only."""

    swift_api = 1

    num_labels: int | None = option(None, "Classes of a classification head.", ge=1)

    @staticmethod
    def fetch_config(model: str, revision: str | None, use_hf: bool) -> Path | None:
        """The folder with the config.json of a hub id; see `hub_config.fetch_config`. Raises SwiftError."""
        from swift_plugin_runtime.loading.hub_config import fetch_config

        return fetch_config(model, revision, use_hf)

    @hookimpl
    def resolve_checkpoint(self, job: Job, model: str, revision: str | None) -> str:
        if file := gguf_of(model):
            folder = unpacked(job, file)
        elif Path(model).is_dir():
            folder = model
        else:
            point = job.card.find(model)
            here = point.id_on(job.options.use_hf) if point else model
            skipped = job.card.skip_files
            folder = hub.download(here, revision, job.options.use_hf, job.options.allow_pickle, skipped)
        _refuse_remote_code(job, folder)
        _refuse_pickle(folder, job.options.allow_pickle)
        return folder

    @hookimpl
    def load_config(self, job: Job, path: str) -> Any:
        import transformers

        trust = job.options.trust_remote_code
        labels = self.num_labels or heads.labels_of(job)
        extra = {} if labels is None else {"num_labels": labels}
        try:
            return transformers.AutoConfig.from_pretrained(path, trust_remote_code=trust, **extra)
        except (ValueError, KeyError, OSError) as error:
            hint = f" {_said_of(job.card)}" if job.card.remote_code else ""
            raise SwiftError(f"{path}: config.json cannot be read: {error}{hint}") from None

    @hookimpl
    def load_model(self, job: Job, path: str, config: Any, quantization: Any) -> Any:
        import transformers

        options = job.options
        transformers.set_seed(options.seed)  # new heads and adapters start the same in every run
        arguments: dict[str, Any] = {"config": config, "dtype": _dtype(options.torch_dtype)}
        if options.attn_impl:
            arguments["attn_implementation"] = options.attn_impl
        if quantization is not None:
            arguments["quantization_config"] = quantization
        model = model_class(config, heads.task_of(job)).from_pretrained(
            path, trust_remote_code=options.trust_remote_code, **arguments
        )
        keep_trainable_layout(model)
        if set(job.card.modality) != {"text"}:
            from swift_plugin_runtime.encoding.multimodal import in_weights_dtype

            model.register_forward_pre_hook(in_weights_dtype, with_kwargs=True)
        return model if quantization is not None else model.to(device_of(options.device))

    @hookimpl
    def load_processor(self, job: Job, path: str) -> Any:
        import transformers

        from swift_plugin_runtime.loading.processor import load_processor

        trust = job.options.trust_remote_code
        if set(job.card.modality) == {"text"}:
            return transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=trust)
        return load_processor(path, trust)

    @hookimpl
    def save_model(self, job: Job, model: Any, processor: Any, folder: str) -> bool:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        hub.copy_extra_files(job.card.extra_files, job.options.model, folder)
        return True

    @hookimpl
    def encode(self, job: Job, rows: list[Any], processor: Any, generation: bool) -> list[dict[str, Any]]:
        from swift_plugin_runtime.encoding.multimodal import encode_with_processor
        from swift_plugin_runtime.loading.processor import is_processor

        rows = [row.with_system(job.options.system) for row in rows]
        if is_processor(processor):
            return encode_with_processor(job, rows, processor, generation)
        for row in rows:
            if row.media:
                raise SwiftError(f"{row.where}: the model {job.options.model!r} reads no {', '.join(row.media)}.")
        encoded = encode_spans(processor, [spans_of(job, row, processor, generation) for row in rows])
        return [_prompt(e) for e in encoded] if generation else encoded

    @hookimpl
    def decode(self, job: Job, ids: list[int], processor: Any) -> str:
        tokenizer = getattr(processor, "tokenizer", processor)
        text: str = tokenizer.decode(ids, skip_special_tokens=False)
        return cut_at_stop(text, job.one("template").stop_words(tokenizer), tokenizer)


def cut_at_stop(text: str, stops: list[str], tokenizer: Any) -> str:
    """`text` up to the first stop word, without the pad token."""
    for stop in (*stops, tokenizer.pad_token or ""):
        if stop:
            text = text.split(stop, 1)[0]
    return text


def _prompt(encoded: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in encoded.items() if k not in ("labels", "loss_scale")}


def model_class(config: Any, task: str = "causal_lm") -> Any:
    """The class that loads a checkpoint: the architecture by name, else the auto class of its task."""
    import transformers

    scores = "AutoModelForSequenceClassification"
    for name in getattr(config, "architectures", None) or ():
        if task == "causal_lm" and hasattr(transformers, name):
            return getattr(transformers, name)
        if name.endswith("ForSequenceClassification"):
            task = "seq_cls"
    wanted = scores if task in heads.SCORING else AUTO_CLASSES.get(task, "AutoModelForCausalLM")
    if _is_remote(config) and wanted not in config.auto_map:
        return transformers.AutoModel  # the one that remote code always offers
    if task in heads.SCORING:
        return getattr(transformers, scores) if _is_remote(config) else heads.scoring_class(config)
    if task in AUTO_CLASSES:
        return getattr(transformers, AUTO_CLASSES[task])
    multimodal = type(config) in transformers.AutoModelForImageTextToText._model_mapping
    return transformers.AutoModelForImageTextToText if multimodal else transformers.AutoModelForCausalLM


def device_of(name: str) -> torch.device:
    """`auto` as the GPU this process owns, else mps, else the CPU; any other name as torch knows it."""
    import torch

    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _dtype(name: str) -> Any:
    import torch

    return "auto" if name == "auto" else getattr(torch, name)


def _is_remote(config: Any) -> bool:
    """Whether the configuration's class came with the checkpoint."""
    return type(config).__module__.startswith("transformers_modules") and bool(getattr(config, "auto_map", None))


def _refuse_remote_code(job: Job, folder: str) -> None:
    """Code of the checkpoint runs only when the user says so; a family that transformers has never needs it."""
    files = sorted(p.name for p in Path(folder).glob("*.py"))
    config = Path(folder, "config.json")
    needs = config.is_file() and '"auto_map"' in config.read_text(encoding="utf-8")
    if not (files and needs and job.card.remote_code):
        return
    if not job.options.trust_remote_code:
        raise SwiftError(
            f"{_said_of(job.card)} Loading {folder} would run {', '.join(files)}. Read those files, then say "
            "--trust_remote_code true if you trust them."
        )
    pins = [line for line in job.card.requires if line.startswith("transformers")]
    if pins:
        import transformers

        job.say(f"The code of this checkpoint was written for {pins[0]}; here is {transformers.__version__}.")


def _said_of(card: Any) -> str:
    """Why a family needs code of its checkpoint, and which class does without."""
    other = f" Checkpoints converted to transformers' {card.native} do without." if card.native else ""
    return f"The family {card.name} brings code of its own: {card.remote_code}.{other}"


def _refuse_pickle(folder: str, allowed: bool) -> None:
    safe = list(Path(folder).glob("*.safetensors"))
    pickles = sorted(p.name for p in Path(folder).glob("*.bin"))
    if pickles and not safe and not allowed:
        raise SwiftError(
            f"{folder} holds its weights as pickles ({', '.join(pickles[:3])}), which can run code when read. "
            "Convert them to safetensors, or say --allow_pickle true if you trust them."
        )


def keep_trainable_layout(model: Any) -> None:
    """Keep 4-bit layers of bitsandbytes on the CPU in the layout that has a backward pass.

    On CPUs with AVX512-BF16 the first forward without gradients repacks 4-bit weights for inference; from then
    on gradients through them, and merges into them, are wrong without any error. A checkpoint that is quantized
    already brings such layers without any quantizer in the job, so the loader sees to it.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
