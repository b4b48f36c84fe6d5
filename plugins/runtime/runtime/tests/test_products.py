"""Products by oneDNN, in training and in packed layers: the same numbers, whatever the operands look like."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers
from swift_plugin_runtime.inference import packed
from swift_plugin_runtime.inference.packed import LEAST, pack
from swift_plugin_runtime.loading import products
from swift_testing import warm

SHAPES = [(1, 512, 1024), (70, 96, 130), (300, 64, 20), (2, 3, 4), (0, 8, 8)]


def near(made, exact):
    assert made.dtype == torch.float32 and torch.allclose(made.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("a", "b", "c"), SHAPES)
def test_each_layout_gives_the_product(a, b, c):
    """As it is, turned, cut out of a larger one, and one row for all."""
    left, right, added = torch.randn(a, b), torch.randn(b, c), torch.randn(c)
    exact = left.double() @ right.double()
    for one in (left, left.t().contiguous().t(), torch.cat([left, left], 1)[:, :b]):
        for other in (right, right.t().contiguous().t(), torch.cat([right, right], 1)[:, :c]):
            near(products.product(one, other), exact)
            near(products.sum_and_product(added, one, other), added.double() + exact)
            near(products.sum_and_product(added.expand(a, c), one, other, beta=2, alpha=0.5), 2 * added + exact / 2)
    near(products.product(left[:1].expand(a, b) if a else left, right), exact[:1].expand(a, c) if a else exact)
    assert products.product(left.bfloat16(), right.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(products.product(left.int(), right.int()), left.int() @ right.int())


def test_registered_they_serve_layers_and_their_gradients():
    """In a process of its own: the operators stay what they are made until it ends."""
    assert (
        subprocess.run([warm.python(), "-c", GRADIENTS], capture_output=True, text=True, check=True).stdout
        == "all near\n"
    )


GRADIENTS = """
import torch
from swift_plugin_runtime.loading import products

kept, seen = products.register(), []
inner, products._onednn = products._onednn, lambda *given: seen.append(1) or inner(*given)
layer, states = torch.nn.Linear(512, 600), torch.randn(3, 40, 512, requires_grad=True)
layer(states).square().sum().backward()
found = [states.grad, layer.weight.grad, layer.bias.grad]
exact, given = torch.nn.Linear(512, 600).double(), states.detach().double().requires_grad_()
exact.load_state_dict(layer.state_dict())
exact(given).square().sum().backward()
for one, other in zip(found, [given.grad, exact.weight.grad, exact.bias.grad]):
    assert torch.allclose(one.double(), other, rtol=1e-3, atol=1e-3)
assert len(seen) == 3
with torch.backends.mkldnn.flags(enabled=False):
    layer(states)
assert len(seen) == 3
print("all near")
"""


def test_rows_of_ever_other_lengths_fill_no_memory_with_kernels():
    """600 lengths took 400 MiB on a processor with instructions for bfloat16; a user's own variables are obeyed."""
    told = subprocess.run([warm.python(), "-c", LENGTHS], capture_output=True, text=True, check=True).stdout.split()
    assert int(told[0]) < 150
    assert told[1:] == ["7", "128"]


LENGTHS = """
import os
import torch
from swift_plugin_runtime.loading import products

os.environ["LRU_CACHE_CAPACITY"] = "7"
products.quick_products()

def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024

layer = torch.nn.Linear(512, 600, dtype=torch.bfloat16)
with torch.no_grad():
    layer(torch.zeros(2000, 512, dtype=torch.bfloat16))
    before = held()
    for length in range(200, 800):
        layer(torch.zeros(length, 512, dtype=torch.bfloat16))
print(held() - before, os.environ["LRU_CACHE_CAPACITY"], os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"])
"""


def qwen2(dtype, tied):
    config = transformers.Qwen2Config(
        vocab_size=600, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.Qwen2ForCausalLM(config).to(dtype).eval()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_model_answers_as_before_in_as_little_memory(dtype, tied):
    model, ids = qwen2(dtype, tied), torch.arange(40)[None]
    with torch.no_grad():
        before = model(ids).logits
        count = pack(model)
        after = model(ids).logits
    layers = [m for m in model.modules() if type(m) is torch.nn.Linear and m.weight.numel() >= LEAST]
    supported = dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert count == (len(layers) if supported else 0)
    assert torch.allclose(before.float(), after.float(), atol=1e-4 if dtype == torch.float32 else 0.03)
    if count:
        plain = [m for m in layers if not m.weight.is_mkldnn]
        assert plain == ([model.lm_head] if tied else [])
        assert model.model.layers[0].mlp.up_proj(torch.empty(1, 0, 256, dtype=dtype)).shape == (1, 0, 512)


def resident(address):
    """KiB in memory of the mapping that holds an address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *more = line.split()
        if "-" in first and not first.endswith(":"):
            low, high = (int(part, 16) for part in first.split("-"))
            inside = low <= address < high
        elif inside and first == "Rss:":
            return int(more[0])
    raise AssertionError(address)


def test_pages_of_a_packed_checkpoint_leave_memory_and_come_back(tmp_path):
    """And memory that is no file's stays: it could not come back."""
    wanted = torch.randn(1024, 1024)
    safetensors.torch.save_file({"weight": wanted, "other": torch.ones(8)}, tmp_path / "model.safetensors")
    mapped = safetensors.torch.load_file(tmp_path / "model.safetensors")["weight"]
    own = mapped.clone()
    assert torch.equal(mapped, wanted)
    before = resident(mapped.data_ptr())
    for weight in (mapped, own):
        packed._drop(weight, packed._mapped_files())
    assert resident(mapped.data_ptr()) < before - 4000
    assert torch.equal(own, wanted) and torch.equal(mapped, wanted)
