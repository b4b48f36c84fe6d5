"""Q-GaLore keeps the optimizer contract; it steps as GaLore does within quantization error, on INT8 weights."""

import pytest
import torch
from swift_plugin_q_galore.int4 import pack, unpack
from swift_plugin_q_galore.moments import adam_direction_in_8_bits
from swift_plugin_q_galore.optimizer import next_gap
from swift_plugin_q_galore.weights import dequantize, quantize
from swift_testing import OptimizerContract
from swift_testing.contracts import CHAT, tiny_model, write_rows
from swift_testing.steps import train_step

from swift_core.api import run
from swift_core.contract.errors import SwiftError

OPTIONS = {"galore_rank": 8, "galore_update_proj_gap": 3}


class TestQGaLore(OptimizerContract):
    name = "q_galore"
    options = OPTIONS

    def job(self, command="sft", **options):
        return super().job(command, **{"weight_decay": 0.0, **options})

    def test_weights_are_stored_as_int8(self):
        """One byte an entry and a scale for 256; no float copy of a weight and no gradient stays."""
        model, optimizer = self.build()
        train_step(model, optimizer)
        layer = model.model.layers[0].mlp.gate_proj
        held = sum(t.nbytes for t in [*layer.parameters(), *layer.buffers()])
        assert held < 1.05 * 128 * 64
        assert layer.stored.values.dtype is torch.int8 and layer.stored.values.grad is None
        assert all(p.grad is None for p in model.parameters())
        assert model.state_dict()["model.layers.0.mlp.gate_proj.weight"].dtype is torch.float32

    def test_moments_take_a_byte(self):
        """Of the low-rank gradients and of the embeddings alike; short ones stay in 32 bits."""
        model, optimizer = self.build()
        train_step(model, optimizer)
        state = optimizer.state[model.model.embed_tokens.weight]
        assert state["exp_avg_codes"].dtype is state["exp_avg_sq_codes"].dtype is torch.uint8
        assert state["exp_avg_codes"].shape == model.model.embed_tokens.weight.shape
        assert state["exp_avg_sizes"].numel() == -(-state["exp_avg_codes"].numel() // 256)
        short = optimizer.state[model.model.norm.weight]
        assert short["exp_avg"].dtype is torch.float32 and "exp_avg_codes" not in short

    def test_steps_as_galore_does_within_quantization_error(self):
        """The first step on the same model: updates differ by what INT4 projections and INT8 weights round off.

        Adam's first step takes signs, so that entries near 0 turn: a cosine of 1 is not to be had.
        """
        model, optimizer = self.build()
        galore = Galore().build()
        start = {n: v.clone() for n, v in model.state_dict().items()}
        galore[0].load_state_dict(start)
        train_step(model, optimizer)
        train_step(*galore)
        found, wanted = model.state_dict(), galore[0].state_dict()
        for name in found:
            if "_proj." in name and name.endswith("weight"):
                one, other = found[name] - start[name], wanted[name] - start[name]
                assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.9, name
                assert 0.9 < one.norm() / other.norm() < 1.1, name


class Galore(TestQGaLore):
    __test__ = False
    name = "galore"


@pytest.mark.parametrize("shape", [(128, 64), (5, 7)])
def test_int8_loses_at_most_half_a_step_and_keeps_what_it_holds(shape):
    torch.manual_seed(0)
    weight = torch.randn(shape)
    values, scales = quantize(weight, 256)
    back = dequantize(values, scales, 256)
    step = weight.abs().max() / 127
    assert (back - weight).abs().max() <= step / 2 * 1.001
    assert torch.equal(quantize(back, 256)[0], values)  # saving and loading changes nothing


def test_rounding_at_random_is_right_on_average():
    """An update of a tenth of a step would vanish under plain rounding; at random a tenth of the entries move."""
    weight = torch.full((1, 20000), 10.1)
    weight[0, 0] = 127.0
    values, scales = quantize(weight, 40000, torch.Generator().manual_seed(0))
    assert abs(dequantize(values, scales, 40000)[0, 1:].mean().item() - 10.1) < 0.02


def test_moments_in_8_bits_step_as_bitsandbytes_adam_does():
    """The library's own 8-bit Adam on the same gradients, and Adam in 32 bits, which both come near."""
    import bitsandbytes

    torch.manual_seed(0)
    start = torch.randn(64, 128)
    theirs, exact = (torch.nn.Parameter(start.clone()) for _ in range(2))
    ours, state, group = start.clone(), {}, {"betas": (0.9, 0.999), "eps": 1e-8}
    optimizers = [bitsandbytes.optim.Adam8bit([theirs], lr=0.01), torch.optim.Adam([exact], lr=0.01)]
    for step in range(1, 9):
        gradient = torch.randn(64, 128)
        theirs.grad, exact.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
        state["step"] = step
        ours -= 0.01 * adam_direction_in_8_bits(gradient, group, state)
    change = exact.detach() - start
    assert (ours - theirs.detach()).norm() < 0.02 * change.norm()
    assert (ours - exact.detach()).norm() < 0.1 * change.norm()


def test_int4_is_two_entries_a_byte():
    torch.manual_seed(0)
    matrix = torch.linalg.qr(torch.randn(64, 8))[0]
    packed, scales, shape = pack(matrix)
    assert packed.dtype is torch.uint8 and packed.numel() == matrix.numel() // 2
    back = unpack(packed, scales, shape)
    assert (
        back.shape == matrix.shape and (back - matrix).norm() / matrix.norm() < 0.13
    )  # a step of 0.4 σ, uniformly rounded


def test_a_settled_subspace_is_kept_longer():
    group = {"threshold": 0.4, "queue": 3, "gamma": 2.0}
    assert next_gap(50, [0.9, 0.9], group) == 50  # not enough seen
    assert next_gap(50, [0.9, 0.1, 0.1], group) == 50
    assert next_gap(50, [0.1, 0.9, 0.8, 0.9], group) == 100


def test_a_job_resumes_and_its_checkpoint_is_plain(tmp_path):
    from transformers import AutoModelForCausalLM

    shared = {
        "model": tiny_model("qwen2"), "dataset": [write_rows(tmp_path, CHAT * 3)], "tuner": ["full"], "device": "cpu",
        "optimizer": "q_galore", "save_steps": 2, "max_steps": 4, "learning_rate": 0.01, **OPTIONS,
    }  # fmt: skip
    whole = run("sft", output_dir=str(tmp_path / "whole"), **shared)
    half = str(tmp_path / "whole" / "checkpoint-2")
    again = run("sft", output_dir=str(tmp_path / "again"), resume_from_checkpoint=half, **shared)
    one, other = (AutoModelForCausalLM.from_pretrained(done["checkpoint"]) for done in (whole, again))
    for (name, value), twin in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(value, twin, atol=1e-6), name


def test_adapters_are_refused():
    contract = TestQGaLore()
    contract.tuner = "lora"
    with pytest.raises(SwiftError, match="--tuner full"):
        contract.build()
