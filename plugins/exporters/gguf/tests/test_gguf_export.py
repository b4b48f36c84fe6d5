"""gguf: what it writes answers in llama.cpp as the checkpoint does in transformers, and cuts text as its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest
import torch
from swift_plugin_gguf.vocabulary import GPT2, GPT4O, LLAMA3, QWEN2, RULES, TEKKEN
from swift_testing.llama_cpp import LlamaCpp
from swift_testing.tiny import SAMPLE_TEXTS
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from swift_core.api import run

SPECIALS = ("<|end|>", "<s>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXTS = [
    "Hello, world! I'm sure it'll DON'T 12345 6.78\n\n  def f(x):\n\treturn x\r\n",
    "你好,世界。天气怎么样? Ünïcödé naïve 😀👍🏽 ÀÉ",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "  leading and trailing  ",
    "HTTPServer camelCase /path/to/file.txt 3rd 1st 100,000 \u00a0x",
]


# -- tokenizers with real rules --------------------------------------------------------------------------------
def byte_level(regex=QWEN2, digits=False, whole=False, bos=None):
    """A byte-level BPE tokenizer, trained on the spot, whose text is cut by `regex`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    raw = Tokenizer(models.BPE(ignore_merges=whole))
    first = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    cut = [] if regex == GPT2 else [pre_tokenizers.Split(Regex(regex), "isolated")]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex == GPT2)
    raw.pre_tokenizer = pre_tokenizers.Sequence([*first, *cut, last])
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([*SAMPLE_TEXTS, *TEXTS], trainer)
    if bos:
        raw.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, raw.token_to_id(bos))]
        )
    return wrapped(raw, bos_token=bos)


def sentencepiece(space=True):
    """A tokenizer in SentencePiece's form: spaces are letters, unknown letters bytes, and merges follow from scores."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    learn = Tokenizer(models.BPE())
    learn.normalizer = normalizers.Replace(" ", "▁")
    learn.train_from_iterator([*SAMPLE_TEXTS], trainers.BpeTrainer(vocab_size=500, show_progress=False))
    learned = json.loads(learn.to_str())["model"]
    names = ["<unk>", *SPECIALS, *(f"<0x{n:02X}>" for n in range(256))]
    order = [left + right for left, right in learned["merges"]]
    vocab = {word: n for n, word in enumerate([*names, *order, *(w for w in learned["vocab"] if len(w) == 1)])}
    merges = [(w[:n], w[n:]) for w in order for n in range(1, len(w)) if w[:n] in vocab and w[n:] in vocab]
    raw = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    prepended = [normalizers.Prepend("▁")] if space else []
    raw.normalizer = normalizers.Sequence([*prepended, normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    raw.add_special_tokens(list(SPECIALS))
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocab["<s>"])])
    return wrapped(raw, bos_token="<s>", unk_token="<unk>")


def wrapped(raw, **names):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|end|>", **names)
    tokenizer.chat_template = CHATML
    return tokenizer


TOKENIZERS = {
    "qwen2": lambda: byte_level(QWEN2),
    "llama-bpe": lambda: byte_level(LLAMA3, whole=True, bos="<s>"),
    "smaug-bpe": lambda: byte_level(LLAMA3),
    "gpt-2": lambda: byte_level(GPT2),
    "smollm": lambda: byte_level(GPT2, digits=True),
    "tekken": lambda: byte_level(TEKKEN, whole=True),
    "gpt-4o": lambda: byte_level(GPT4O),
    "spm": sentencepiece,
    "spm without a space in front": lambda: sentencepiece(space=False),
}


# -- tiny models of each family --------------------------------------------------------------------------------
SCALED = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0} | {
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
GLOBAL = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0}
LOCAL = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 64}

MODELS = {
    "llama": (LlamaConfig, "llama-bpe", {"rope_parameters": SCALED, "tie_word_embeddings": True}),
    "llama, spm, linear": (
        LlamaConfig,
        "spm",
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}, "head_dim": 32},
    ),
    "mistral": (MistralConfig, "tekken", {"sliding_window": None, "head_dim": 32}),
    "qwen2": (Qwen2Config, "qwen2", {"rope_parameters": YARN}),
    "qwen3": (Qwen3Config, "qwen2", {"head_dim": 32, "tie_word_embeddings": True}),
    "gemma": (GemmaConfig, "spm without a space in front", {"head_dim": 32}),
    "gemma2": (
        Gemma2Config,
        "spm without a space in front",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "final_logit_softcapping": 3.0},
    ),
    "gemma3": (
        Gemma3TextConfig,
        "spm without a space in front",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "num_hidden_layers": 7}
        | {"rope_parameters": {"full_attention": GLOBAL, "sliding_attention": LOCAL}, "final_logit_softcapping": None},
    ),
}


def tiny(folder, name, **changes):
    """A random model in `folder`, strong enough that its answers are not all alike."""
    config_class, kind, fields = MODELS[name]
    tokenizer = TOKENIZERS[kind]()
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = config_class(
        vocab_size=len(tokenizer) + 7, num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2,
        **{**shape, **ends, **fields, **changes},
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for part, weight in model.named_parameters():
        if weight.dim() == 1:  # norms and biases that are not all the same
            torch.nn.init.normal_(weight, mean=0.0 if "bias" in part or "gemma" in name else 1.0, std=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def export(**options):
    """The GGUF file that `swift export` writes."""
    done = run("export", **{"to_gguf": True, "device": "cpu", **options})
    return next(Path(done["folders"]["gguf"]).glob("*.gguf"))


def pairs(file):
    """The pairs of the file's header."""
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def greedy(model, ids, count):
    """The ids that transformers answers with, to the first end of an answer."""
    with torch.no_grad():
        asked = torch.tensor([ids])
        out = model.generate(asked, attention_mask=torch.ones_like(asked), max_new_tokens=count, do_sample=False)
    return out[0, len(ids) :].tolist()


@pytest.mark.parametrize("name", MODELS)
def test_every_family_answers_as_in_transformers(tmp_path, name):
    source = tiny(tmp_path / "model", name)
    llama = LlamaCpp(export(model=source, template="chatml", output_dir=str(tmp_path / "out"), gguf_type="f32"))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    for text in TEXTS[:3]:
        ids = tokenizer(text * 2)["input_ids"][:90]
        answer = greedy(model, ids, 24)
        assert llama.greedy(ids, 24) == answer
        assert len(set(answer)) > 3


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_text_is_cut_as_the_tokenizer_cuts_it(tmp_path, kind, monkeypatch):
    monkeypatch.setitem(MODELS, "any", (LlamaConfig, kind, {}))
    source = tiny(tmp_path / "model", "any")
    file = export(model=source, template="chatml", output_dir=str(tmp_path / "out"))
    llama, tokenizer = LlamaCpp(file), AutoTokenizer.from_pretrained(source)
    assert [llama.ids_of(text) for text in TEXTS] == [tokenizer(text)["input_ids"] for text in TEXTS]
    header = pairs(file)
    assert header["tokenizer.ggml.pre"] == (kind if kind in RULES.values() else "default")
    assert header["tokenizer.ggml.add_bos_token"] is (kind == "llama-bpe" or kind.startswith("spm"))
