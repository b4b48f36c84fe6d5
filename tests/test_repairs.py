"""Families whose code comes with the checkpoint: the faults that keep it from training are mended, one test each.

The code here is made up and small, and has the fault at the place where the family's has it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.contract.job import Job
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

CATALOGUE = Catalogue.installed()

REMOTE = """
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class PictureConfig(PretrainedConfig):
    model_type = "phi3_v"


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(50, 8)
        self.img_projection = nn.Linear(3, 8)

    def forward(self, input_ids, pixel_values):
        hidden = self.wte(input_ids)
        hidden[input_ids == 1] = self.img_projection(pixel_values)  # the fault
        return hidden


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.vision_embed_tokens = Tower()
        self.layers = nn.ModuleList([nn.Linear(8, 8)])


class Phi3VForCausalLM(PreTrainedModel):
    config_class = PictureConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = Body()
        self.lm_head = nn.Linear(8, 50, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.vision_embed_tokens.wte

    def forward(self, input_ids, pixel_values=None, **rest):
        return self.lm_head(self.model.layers[0](self.model.vision_embed_tokens(input_ids, pixel_values)))
"""


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A checkpoint with code of its own, as Phi-3 vision's has it."""
    from safetensors.torch import save_file

    auto = {"AutoConfig": "modeling.PictureConfig", "AutoModelForCausalLM": "modeling.Phi3VForCausalLM"}
    config = {"model_type": "phi3_v", "architectures": ["Phi3VForCausalLM"], "auto_map": auto, "dtype": "float32"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "modeling.py").write_text(REMOTE)
    shapes = {"vision_embed_tokens.wte.weight": (50, 8), "vision_embed_tokens.img_projection.weight": (8, 3)}
    shapes |= {"vision_embed_tokens.img_projection.bias": (8,), "layers.0.weight": (8, 8), "layers.0.bias": (8,)}
    weights = {f"model.{k}": torch.randn(v) for k, v in shapes.items()} | {"lm_head.weight": torch.randn(50, 8)}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def opened(folder: Path, mended: bool = True, **options: Any) -> Any:
    """The model through a job's hooks, as training opens it."""
    given = {"model": str(folder), "model_type": "phi3_vision", "device": "cpu", "torch_dtype": "float32", **options}
    job: Job = prepare("sft", [Given(k, v, "test") for k, v in given.items()])
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=None)
    config = job.hook.load_config(job=job, path=path)
    model = job.hook.load_model(job=job, path=path, config=config, quantization=None)
    if mended:
        job.hook.patch_model(job=job, model=model)
    return model


def learnt(model: Any) -> dict[str, torch.Tensor]:
    """Gradients of one step of a model whose embeddings were made to need them, as for checkpointing."""
    model.requires_grad_(False)
    model.model.layers.requires_grad_(True)
    model.model.vision_embed_tokens.img_projection.requires_grad_(True)
    model.enable_input_require_grads()
    logits = model(torch.tensor([[1, 5, 6, 7]]), pixel_values=torch.ones(1, 3))
    logits.square().mean().backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_code_of_a_checkpoint_runs_only_when_it_is_trusted(remote: Path) -> None:
    with pytest.raises(SwiftError, match=r"brings code of its own: .* would run modeling\.py.*--trust_remote_code"):
        opened(remote)


def test_features_written_into_embeddings_in_place_can_be_trained(remote: Path) -> None:
    with pytest.raises(RuntimeError, match=r"leaf [vV]ariable"):
        learnt(opened(remote, mended=False, trust_remote_code=True))
    gradients = learnt(opened(remote, trust_remote_code=True))
    assert gradients["model.vision_embed_tokens.img_projection.weight"].abs().max() > 0
    assert gradients["model.layers.0.weight"].abs().max() > 0


def test_the_mended_model_answers_as_before(remote: Path) -> None:
    given = {"input_ids": torch.tensor([[1, 5, 6, 7]]), "pixel_values": torch.ones(1, 3)}
    with torch.no_grad():
        before = opened(remote, mended=False, trust_remote_code=True)(**given)
        after = opened(remote, trust_remote_code=True)(**given)
    assert torch.equal(before, after)


IN_PLACE = {
    "phi3_vision": "model.vision_embed_tokens.wte",
    "deepseek_vl": "language_model.model.embed_tokens",
    "deepseek_janus": "language_model.model.embed_tokens",
    "deepseek_janus_pro": "language_model.model.embed_tokens",
    "deepseek_ocr": "model.embed_tokens",
    "deepseek_ocr2": "model.embed_tokens",
    "unlimited_ocr": "model.embed_tokens",
    "step_audio2_mini": "model.embed_tokens",
    "midashenglm": "decoder.model.embed_tokens",
    "qwen_vl": "transformer.drop",
    "qwen_audio": "transformer.drop",
}


def nested(path: str, leaf: nn.Module) -> nn.Module:
    """A module that holds `leaf` at a dotted path."""
    for name in reversed(path.split(".")):
        outer = nn.Module()
        outer.add_module(name, leaf)
        leaf = outer
    return leaf


@pytest.mark.parametrize("family", IN_PLACE)
def test_every_family_with_that_fault_mends_it_where_it_is(family: str) -> None:
    def write(module: nn.Module) -> None:
        hidden = module(torch.ones(2, 3).requires_grad_(True))
        hidden[0] = 7.0
        hidden.sum().backward()

    leaf = nn.Identity()  # gives back the leaf it got, as a dropout of 0 does
    with pytest.raises(RuntimeError, match=r"leaf [vV]ariable"):
        write(leaf)
    CATALOGUE.find("model", family).load().patch_model(model=nested(IN_PLACE[family], leaf))
    write(leaf)


class RotaryEmbedding(nn.Module):
    """Rotates in float32, as Phi-3 small's does."""

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return query.float() * 2, key.float() * 2


def test_rotated_queries_keep_their_precision() -> None:
    model = nested("model.layers.0.self_attn.rotary_emb", RotaryEmbedding())
    rotary = model.get_submodule("model.layers.0.self_attn.rotary_emb")
    given = torch.ones(1, 4, dtype=torch.bfloat16)
    assert {out.dtype for out in rotary(given, given)} == {torch.float32}
    CATALOGUE.find("model", "phi3_small").load().patch_model(model=model)
    query, key = rotary(given, given)
    assert (query.dtype, key.dtype) == (torch.bfloat16, torch.bfloat16)
    assert query.tolist() == [[2.0] * 4]


class OldTokenizer:
    """Pads as ChatGLM's tokenizers do, which know no `padding_side`."""

    def _pad(self, encoded: dict[str, Any], max_length: int | None = None) -> dict[str, Any]:
        return {**encoded, "padded_to": max_length}


def test_a_tokenizer_that_knows_no_padding_side_pads() -> None:
    from swift_plugin_runtime.loading.repairs import padding_side

    tokenizer = OldTokenizer()
    with pytest.raises(TypeError, match="padding_side"):
        tokenizer._pad({"input_ids": [1]}, max_length=4, padding_side=None)
    assert padding_side(tokenizer)._pad({"input_ids": [1]}, max_length=4, padding_side=None)["padded_to"] == 4


@pytest.mark.parametrize("family", ["chatglm2", "chatglm3", "chatglm4", "codegeex4", "codefuse_codegeex2"])
def test_the_families_with_such_tokenizers_open_them_so(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: OldTokenizer())
    entry = CATALOGUE.find("model", family)
    job = prepare("sft", [Given("model", entry.load().listed()[0].modelscope, "test")])
    tokenizer = job.hook.load_processor(job=job, path="folder", config=None)
    assert tokenizer._pad({"input_ids": [1]}, padding_side=None) == {"input_ids": [1], "padded_to": None}
