"""Liger's kernels give the logits and gradients of transformers' own code; they need a GPU (make gpu-bundle)."""

from importlib.util import find_spec

import pytest
import torch
from swift_testing.contracts import tiny_model

from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model

pytestmark = pytest.mark.skipif(
    not (torch.cuda.is_available() and find_spec("liger_kernel")), reason="needs CUDA and liger_kernel"
)


def outcome(patchers):
    """(logits, gradient of the first weight) of a tiny Qwen2 on the GPU."""
    given = {"model": tiny_model("qwen2"), "device": "cuda", "torch_dtype": "float32", "patcher": patchers}
    model = load_model(prepare("sft", [Given(key, value, "test") for key, value in given.items()]))[0]
    ids = torch.arange(5, 25, device="cuda")[None]
    done = model(input_ids=ids, labels=ids)
    done.loss.backward()
    return done.logits.detach(), next(model.parameters()).grad


def test_logits_and_gradients_stay():
    for plain, patched in zip(outcome([]), outcome(["liger"]), strict=True):
        assert torch.allclose(plain, patched, atol=1e-4, rtol=1e-3)
