"""The file of a whole model: pairs of the header, vocabulary, weights one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.inference.ending import ending_of
from swift_plugin_gguf.architectures import COMMON, HEAD_DIM, Architecture, head_dim, rope_of
from swift_plugin_gguf.tensors import TYPES, Weight, weights_of
from swift_plugin_gguf.vocabulary import Vocabulary

FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
OWN_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
"""torch's name of a precision → the word of --gguf_type."""


def own_type(model: Any) -> str:
    """The word of --gguf_type that keeps the model's own precision. SwiftError where none does."""
    name = str(model.dtype).removeprefix("torch.")
    if name not in OWN_TYPES:
        raise SwiftError(f"The weights are {name}; say in which type they are written: --gguf_type f32, f16 or bf16.")
    return OWN_TYPES[name]


def write_model(
    job: Job,
    file: Path,
    name: str,
    architecture: Architecture,
    model: Any,
    processor: Any,
    vocabulary: Vocabulary,
    kind: str,
) -> None:
    """Write the model into `file`. name: what it is called. processor: with the chat template that is to be carried.

    Raises SwiftError where a tensor has no place in llama.cpp or does not fit the type.
    """
    tokenizer, config = getattr(processor, "tokenizer", processor), model.config.get_text_config()
    weights = weights_of(architecture, model, TYPES[kind])
    _say_unfit(job, weights, kind)
    writer = gguf.GGUFWriter(file, architecture.name)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _facts(job, writer, architecture, config)
    _rope(writer, architecture, config)
    _vocabulary(writer, vocabulary)
    _tokens(job, writer, tokenizer, model)
    if tokenizer.chat_template:
        writer.add_chat_template(_templates(tokenizer.chat_template))
    write_weights(writer, weights)


def write_weights(writer: gguf.GGUFWriter, weights: list[Weight]) -> None:
    """Write header and pairs, then each tensor by itself, so that only one at a time is held twice."""
    for weight in weights:
        size = weight.dtype.itemsize
        for length in weight.shape:
            size *= length
        writer.add_tensor_info(weight.name, weight.shape, weight.dtype, size, weight.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for weight in weights:
        writer.write_tensor_data(weight.values())
    writer.close()


def _say_unfit(job: Job, weights: list[Weight], kind: str) -> None:
    odd = [w.name for w in weights if w.kind is not TYPES[kind] and len(w.tensor.shape) > 1]
    if odd:
        job.say(f"{len(odd)} weights have rows that are no multiple of 32, so they are f16: {', '.join(odd[:3])} …")


def _facts(job: Job, writer: gguf.GGUFWriter, architecture: Architecture, config: Any) -> None:
    """The pairs that are fields of config.json."""
    for key, field in {**COMMON, **architecture.facts}.items():
        value = head_dim(config) if field == HEAD_DIM else getattr(config, field)
        if key == "context_length":
            value = _context(job, architecture, config)
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{architecture.name}.{key}", value)


def _context(job: Job, architecture: Architecture, config: Any) -> int:
    """Most tokens that llama.cpp answers about as transformers does."""
    longest, window = config.max_position_embeddings, getattr(config, "sliding_window", None)
    if architecture.period or not window or window >= longest or not getattr(config, "use_sliding_window", True):
        return int(longest)
    job.say(f"llama.cpp attends to everything in {architecture.name!r}: its context is set to the window of {window}.")
    return int(window)


def _rope(writer: gguf.GGUFWriter, architecture: Architecture, config: Any) -> None:
    """How positions are rotated."""
    rope = rope_of(config)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if architecture.period:
        writer.add_rope_freq_base_swa(float(rope_of(config, "sliding_attention")["rope_theta"]))
    kind = rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        before = rope.get("original_max_position_embeddings") or config.max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(int(before))
        writer.add_rope_scaling_yarn_beta_fast(float(rope.get("beta_fast") or 32))
        writer.add_rope_scaling_yarn_beta_slow(float(rope.get("beta_slow") or 1))


def _vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.adds_space)
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_add_eos_token(vocabulary.adds_eos)


def _tokens(job: Job, writer: gguf.GGUFWriter, tokenizer: Any, model: Any) -> None:
    """The special tokens by number; ends of a turn besides the tokenizer's eos are `eot` and `eom`."""
    for name in ("bos", "eos", "unk", "pad", "sep", "mask"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    known = (tokenizer.eos_token_id, tokenizer.pad_token_id)
    ends = [number for number in ending_of(job, tokenizer, _ends(model)).ids if number not in known]
    for add, number in zip((writer.add_eot_token_id, writer.add_eom_token_id), ends, strict=False):
        add(number)
    if len(ends) > 2:
        left = ", ".join(map(str, tokenizer.convert_ids_to_tokens(ends[2:])))
        job.say(f"A GGUF file names three ends of an answer; llama.cpp is not told of {left}.")


def _ends(model: Any) -> int | list[int] | None:
    ends: int | list[int] | None = getattr(model.generation_config, "eos_token_id", None)
    return ends


def _templates(template: str | dict[str, str]) -> str | list[dict[str, str]]:
    """One chat template, or several by name."""
    if isinstance(template, str):
        return template
    return [{"name": name, "template": text} for name, text in template.items()]
