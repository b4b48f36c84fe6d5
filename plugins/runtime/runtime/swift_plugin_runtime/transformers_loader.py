"""The generic loader: a checkpoint in transformers' layout becomes config, model and processor, rows become ids."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Loader
from swift_core.contract.job import Job
from swift_core.inference.ending import cut_at, stop_words
from swift_core.job.gguf_header import gguf_of
from swift_core.jobs.checkpoints import refuse_shards
from swift_core.templates.encode import encode_spans
from swift_core.templates.plain_text import guarded
from swift_core.templates.render import spans_of
from swift_plugin_runtime.loading import heads, hub, new_tokens
from swift_plugin_runtime.loading.gguf import unpacked
from swift_plugin_runtime.loading.loader import (
    device_of,
    dtype_of,
    keep_trainable_layout,
    late_bars,
    model_class,
    refuse_pickle,
    refuse_remote_code,
    said_of,
)
from swift_plugin_runtime.loading.processor import tokenizer_of


@dataclass(kw_only=True, eq=False)
class Transformers(Loader):
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
            refuse_shards(Path(model))
            folder = model
        else:
            point = job.card.find(model)
            here = point.id_on(job.options.use_hf) if point else model
            skipped = job.card.skip_files
            folder = hub.download(here, revision, job.options.use_hf, job.options.allow_pickle, skipped)
        refuse_remote_code(job, folder)
        refuse_pickle(folder, job.options.allow_pickle)
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
            hint = f" {said_of(job.card)}" if job.card.remote_code else ""
            raise SwiftError(f"{path}: config.json cannot be read: {error}{hint}") from None

    @hookimpl
    def load_model(self, job: Job, path: str, config: Any, quantization: Any) -> Any:
        import transformers

        from swift_plugin_runtime.loading.products import quick_products
        from swift_plugin_runtime.options import splits_weights, zero_stage
        from swift_plugin_runtime.training import parts, zero

        options = job.options
        quick_products()
        transformers.set_seed(options.seed)  # new heads and adapters start the same in every run
        arguments: dict[str, Any] = {"config": config, "dtype": dtype_of(options.torch_dtype)}
        if options.attn_impl:
            arguments["attn_implementation"] = options.attn_impl
        if quantization is not None:
            arguments["quantization_config"] = quantization
        task = heads.task_of(job)
        made = model_class(config, task)
        reason = parts.why_whole(job, quantization, task)
        split = reason is None
        if reason and (splits_weights(job) or zero_stage(job) == 3):
            job.say(f"each process reads the whole checkpoint, and keeps its part afterwards: {reason}")
        if split or zero_stage(job) != 3:
            zero.forget()  # an earlier job of this process
        cuts = split and (quantization is not None or parts.rearranges(made, config))
        if split and not cuts:
            arguments |= parts.reading(made, config)
        with late_bars(), parts.cutting() if cuts else contextlib.nullcontext():
            model = made.from_pretrained(path, trust_remote_code=options.trust_remote_code, **arguments)
        keep_trainable_layout(model)
        if options.new_special_tokens:
            new_tokens.grow(job, model, tokenizer_of(self._processor(job, path)))
        if set(job.card.modality) != {"text"}:
            from swift_plugin_runtime.encoding.multimodal import in_weights_dtype

            model.register_forward_pre_hook(in_weights_dtype, with_kwargs=True)
        if split:
            parts.settle(model)
        return model if split or quantization is not None else model.to(device_of(options.device))

    @hookimpl
    def load_processor(self, job: Job, path: str) -> Any:
        processor = self._processor(job, path)
        if job.options.new_special_tokens:
            new_tokens.add_tokens(tokenizer_of(processor), job.options.new_special_tokens)
        return processor

    @staticmethod
    def _processor(job: Job, path: str) -> Any:
        """The processor as the checkpoint has it."""
        import transformers

        from swift_plugin_runtime.loading.processor import load_processor
        from swift_plugin_runtime.loading.repairs import padding_side

        trust = job.options.trust_remote_code
        if set(job.card.modality) == {"text"}:
            return padding_side(transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=trust))
        return load_processor(path, trust)

    @hookimpl
    def save_model(self, job: Job, model: Any, processor: Any, folder: str) -> bool:
        from swift_plugin_runtime.training.sharding import answering

        # transformers would write from the first process alone, also where a machine of another has a folder of its own
        with late_bars(), answering(model, should_save_on_this_rank=lambda is_main_process: is_main_process):
            model.save_pretrained(folder)
        processor.save_pretrained(folder)
        hub.copy_extra_files(job.card.extra_files, job.options.model, folder)
        return True

    @hookimpl
    def upload_folder(self, job: Job, folder: str) -> str:
        from swift_plugin_runtime.loading import hub

        o = job.options
        return hub.upload(folder, o.hub_model_id, o.use_hf, o.hub_token, o.hub_private_repo)

    @hookimpl
    def encode(self, job: Job, rows: list[Any], processor: Any, generation: bool) -> list[dict[str, Any]]:
        from swift_plugin_runtime.encoding.multimodal import encode_with_processor
        from swift_plugin_runtime.loading.processor import is_processor

        tokenizer = tokenizer_of(processor)
        rows = [guarded(job, row.with_system(job.options.system), tokenizer) for row in rows]
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
        return cut_at(text, stop_words(job, tokenizer))


def _prompt(encoded: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in encoded.items() if k not in ("labels", "loss_scale")}
