"""Checkpoints of Megatron-Core: each weight in its place, every byte back, and what has no place refused.

That Megatron-Core itself reads them and computes the same is held by `test_megatron_engine.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_plugin_megatron.architectures import ARCHITECTURES, rules_of
from swift_plugin_megatron.files import LATEST, SETTINGS, read_distributed, shapes, weights_folder, write_distributed
from swift_plugin_megatron.maps import Rule, Sizes, to_megatron, to_transformers
from swift_testing import ExporterContract
from transformers import AutoConfig

from swift_core import SwiftError
from swift_core.api import run

sys.path.insert(0, str(Path(__file__).parent))

import megatron_families


class TestMegatron(ExporterContract):
    name = "megatron"


class TestHf(ExporterContract):
    name = "hf"

    def source(self, folder):
        return {"model": export(megatron_families.write(folder / "plain", "qwen2"), folder / "there", "megatron")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The tiny checkpoint of each family."""
    place = tmp_path_factory.mktemp("families")
    return {family: megatron_families.write(place / family, family) for family in ARCHITECTURES}


def export(model, folder, to):
    options = {"model": str(model), "output_dir": str(folder), "exporter": [to], "device": "cpu"}
    return run("export", **options)["folders"][to]


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_there_and_back_every_byte_is_the_same(plain, tmp_path, family):
    there = Path(export(plain[family], tmp_path / "there", "megatron"))
    back = Path(export(there, tmp_path / "back", "hf"))
    assert (there / LATEST).read_text() == "release" and (there / "tokenizer.json").is_file()
    names = {file.name for file in Path(plain[family]).iterdir()}
    assert names == {file.name for file in back.iterdir()} - {"swift.lock.json"}
    for name in names:
        assert (back / name).read_bytes() == (Path(plain[family]) / name).read_bytes(), name


def test_layers_and_experts_are_axes_of_one_tensor(plain, tmp_path):
    there = Path(export(plain["mixtral"], tmp_path / "there", "megatron"))
    config = AutoConfig.from_pretrained(plain["mixtral"])
    place = weights_folder(there)
    tensors = read_distributed(place, shapes(place))
    weights = load_file(Path(plain["mixtral"], "model.safetensors"))
    assert set(tensors) == {rule.key for rule in rules_of(config)}
    moved = tensors["decoder.layers.mlp.experts.experts.linear_fc1.weight"]
    layers, experts, width = config.num_hidden_layers, config.num_local_experts, config.intermediate_size
    assert moved.shape == (layers, experts, 2 * width, config.hidden_size)
    expert = "model.layers.1.block_sparse_moe.experts.2."
    assert torch.equal(moved[1, 2, :width], weights[expert + "w1.weight"])
    assert torch.equal(moved[1, 2, width:], weights[expert + "w3.weight"])
    told = json.loads((there / SETTINGS).read_text())
    assert told["transformer"]["num_moe_experts"] == experts and told["dtype"] == "float32"


def test_queries_keys_and_values_stand_by_key_head():
    """Two key heads with two queries each, one number a head: rows are q0 q1 k0 v0 q2 q3 k1 v1."""
    rule, sizes = Rule("qkv", ("q", "k", "v"), "by group"), Sizes(layers=1, groups=2, width=1)
    parts = {"q": torch.tensor([0, 1, 2, 3]), "k": torch.tensor([10, 11]), "v": torch.tensor([20, 21])}
    joined = to_megatron(rule, sizes, parts.__getitem__)
    assert joined.tolist() == [0, 1, 10, 20, 2, 3, 11, 21]
    assert {name: part.tolist() for name, part in to_transformers(rule, sizes, joined)} == {
        name: part.tolist() for name, part in parts.items()
    }


def test_a_family_without_a_map_is_refused_before_any_weight_is_read(plain, tmp_path):
    changed(plain["llama"], tmp_path / "model", config={"model_type": "gemma"})
    with pytest.raises(SwiftError, match="no map of weights between Megatron-Core and the family 'gemma'"):
        export(tmp_path / "model", tmp_path / "out", "megatron")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("family", "config", "words"),
    [
        ("mistral", {"sliding_window": 4}, "sliding_window = 4"),
        ("llama", {"attention_bias": True}, "attention_bias = True"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("qwen3_moe", {"norm_topk_prob": False}, "norm_topk_prob = False"),
        ("qwen3", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}}, "rope_type = 'yarn'"),
    ],
)
def test_what_megatron_would_compute_otherwise_is_refused(plain, tmp_path, family, config, words):
    changed(plain[family], tmp_path / "model", config=config)
    with pytest.raises(SwiftError, match=f"compute otherwise than this checkpoint wants: {words}"):
        export(tmp_path / "model", tmp_path / "out", "megatron")


NORM, OUT = "model.norm.weight", "lm_head.weight"


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"model.extra.weight": torch.zeros(2)}, "The checkpoint has model.extra.weight, which"),
        ({NORM: None}, "The checkpoint lacks model.norm.weight, which"),
        ({NORM: torch.zeros(64, dtype=torch.bfloat16)}, "in one precision, and this checkpoint has BF16, F32"),
        ({OUT: torch.zeros(2)}, "tied to the embedding, and another"),
    ],
)
def test_a_weight_without_a_place_is_refused_and_nothing_is_written(plain, tmp_path, weights, words):
    changed(plain["qwen2"], tmp_path / "model", weights=weights)
    with pytest.raises(SwiftError, match=words):
        export(tmp_path / "model", tmp_path / "out", "megatron")
    assert not (tmp_path / "out").exists()


def test_a_key_without_a_place_is_refused_on_the_way_back(plain, tmp_path):
    there = export(plain["qwen3"], tmp_path / "there", "megatron")
    file = Path(there, "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": "llama"}))
    with pytest.raises(SwiftError, match=r"has decoder.layers.self_attention.k_layernorm.weight"):
        export(there, tmp_path / "back", "hf")


def test_a_plain_checkpoint_is_none_of_megatrons(plain, tmp_path):
    with pytest.raises(SwiftError, match="is no checkpoint of Megatron-Core"):
        export(plain["qwen3"], tmp_path / "back", "hf")


def changed(source, folder, config=None, weights=None):
    """A checkpoint with other fields of its config, and other weights; None takes one out."""
    folder.mkdir()
    for file in Path(source).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    told = json.loads((folder / "config.json").read_text()) | (config or {})
    (folder / "config.json").write_text(json.dumps(told))
    held = load_file(folder / "model.safetensors") | (weights or {})
    save_file({k: v for k, v in held.items() if v is not None}, folder / "model.safetensors", {"format": "pt"})


def test_state_of_training_beside_the_weights_is_left_out(tmp_path):
    """Megatron-Core names it by its optimizer, and where it has several by their number before."""
    state = ("optimizer.state.exp_avg.a", "chained_1.optimizer.state.exp_avg.a", "rng_state")
    write_distributed(tmp_path, {name: torch.zeros(2) for name in ("decoder.a", *state)})
    assert list(shapes(weights_folder(tmp_path))) == ["decoder.a"]
