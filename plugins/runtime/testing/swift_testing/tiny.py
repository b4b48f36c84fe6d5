"""Tiny models of real classes, with tokenizers trained on the spot: for tests, demos and benchmarks.

Nothing is downloaded. Each builder writes a folder in the layout of a hub checkpoint and returns its path.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISION_TOKENS = (
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
)
LLAMA3_TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

SAMPLE_TEXTS = (
    "system user assistant tool You are a helpful assistant. What is in the picture? The answer is here.",
    "Question Thought Action Action Input Observation Final Answer get_weather city Paris name arguments",
    "你好,世界。我可以帮你吗?天气怎么样? 今天北京的天气很好。",
    "def add(a, b): return a + b  # 0 1 2 3 4 5 6 7 8 9 {} [] <> () : ; , . ! ?",
)


def build_tokenizer(
    texts: Iterable[str],
    specials: Iterable[str],
    vocab_size: int = 1024,
    bos: str | None = None,
    eos: str = "<|im_end|>",
) -> Any:
    """A byte-level BPE tokenizer with single digits, like Qwen's and Llama 3's; `specials` become tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    specials = list(specials)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(list(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=bos,
        eos_token=eos,
        pad_token=specials[0],
        extra_special_tokens=specials,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def tiny_qwen2(folder: str | Path, texts: Iterable[str] = SAMPLE_TEXTS, seed: int = 0, **changes: Any) -> str:
    """A Qwen2 language model of some hundred thousand parameters, float32, in `folder`."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = build_tokenizer(texts, CHATML_TOKENS)
    config = Qwen2Config(**{**_small(tokenizer), "use_sliding_window": False, **changes})
    return _write(folder, Qwen2ForCausalLM, config, tokenizer, seed)


def tiny_llama(folder: str | Path, texts: Iterable[str] = SAMPLE_TEXTS, seed: int = 0, **changes: Any) -> str:
    """A Llama language model with Llama 3's special tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer(texts, LLAMA3_TOKENS, bos="<|begin_of_text|>", eos="<|eot_id|>")
    config = LlamaConfig(**{**_small(tokenizer), **changes})
    return _write(folder, LlamaForCausalLM, config, tokenizer, seed)


def tiny_qwen2_vl(
    folder: str | Path,
    texts: Iterable[str] = SAMPLE_TEXTS,
    seed: int = 0,
    pixels: tuple[int, int] = (28 * 28, 56 * 56),
    vision: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A Qwen2-VL model with its real processor (Pillow backend). pixels: least and most pixels of an image."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    tokenizer = build_tokenizer(texts, CHATML_TOKENS + VISION_TOKENS)
    token = tokenizer.convert_tokens_to_ids
    text = {
        **_small(tokenizer),
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
        **changes,
    }
    config = Qwen2VLConfig(
        text_config=text,
        vision_config={
            **{"depth": 2, "embed_dim": 64, "num_heads": 4, "hidden_size": text["hidden_size"], "mlp_ratio": 2},
            **(vision or {}),
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    return _write(folder, Qwen2VLForConditionalGeneration, config, _qwen2_vl_processor(tokenizer, pixels), seed)


def _qwen2_vl_processor(tokenizer: Any, pixels: tuple[int, int]) -> Any:
    from swift_plugin_runtime.loading.processor import assemble
    from transformers import Qwen2VLImageProcessorPil, Qwen2VLProcessor

    images = Qwen2VLImageProcessorPil(size={"shortest_edge": pixels[0], "longest_edge": pixels[1]})
    videos = {"video_processor_type": "Qwen2VLVideoProcessor", "size": dict(images.size)}
    return assemble(Qwen2VLProcessor, {"video_processor": videos}, image_processor=images, tokenizer=tokenizer)


def _small(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _write(folder: str | Path, model_class: Any, config: Any, processor: Any, seed: int) -> str:
    import torch

    torch.manual_seed(seed)
    model = model_class(config)
    model.generation_config.eos_token_id = config.get_text_config().eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)
