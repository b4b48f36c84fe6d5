"""torchao, hqq and bitsandbytes are not loaded by jobs without them, and are wholly there for those that have them."""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import subprocess
import sys
import traceback
from importlib.util import find_spec

import pytest

PACKAGES = ("torchao", "hqq", "bitsandbytes")
pytestmark = pytest.mark.skipif(not all(map(find_spec, PACKAGES)), reason=f"needs {', '.join(PACKAGES)}")

USES = {
    "a part": "import torchao.utils; print(torchao.utils.TorchAOBaseTensor.__mro__[1].__name__)",
    "a name": "from torchao.utils import TorchAOBaseTensor; print(TorchAOBaseTensor.__name__)",
    "the package": "import torchao; print(callable(torchao.quantization.quantize_))",
    "a part of hqq": "from hqq.core.quantize import HQQLinear, Quantizer; print(callable(Quantizer.quantize))",
    "hqq": "import hqq.core.utils; from hqq.core.quantize import BaseQuantizeConfig as c; print(c(nbits=4))",
    "bitsandbytes": "import bitsandbytes as b; print(b.__version__, b.nn.Linear4bit.__mro__[1].__name__)",
    "a part of bitsandbytes": "import bitsandbytes.nn as n; print(n.Linear8bitLt(4, 4).weight.shape)",
    "another part of it": "from bitsandbytes.optim import AdamW8bit; print(AdamW8bit.__module__)",
    "whether it is there": "from importlib.util import find_spec; print(find_spec('bitsandbytes').name)",
    "another name of a part": "from torchao.utils import unwrap_tensor_subclass as u; print(callable(u))",
}
SEES = """
import torch
from peft import LoraConfig, get_peft_model
net = torch.nn.Sequential(torch.nn.Linear(64, 64))
"""


forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["swift_plugin_runtime", "peft"])


def told(code: str, end) -> None:
    """Send what the code prints, or its traceback."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            exec(code, {})
        except BaseException:
            traceback.print_exc(file=said)
    end.send(said.getvalue())


def run(code: str) -> str:
    """What the code prints in a process of its own, where the runtime and PEFT are imported and nothing is loaded."""
    here, there = forks.Pipe()
    process = forks.Process(target=told, args=("import sys\n" + code, there))
    process.start()
    said = here.recv()
    process.join()
    return said


def test_a_lora_on_a_plain_model_does_without_it() -> None:
    code = """
import inspect, transformers
transformers.Qwen2ForCausalLM, inspect.getmodule(run := lambda: 0)
get_peft_model(net, LoraConfig(target_modules=["0"]))
print([name for name in ("torchao", "hqq", "bitsandbytes.nn", "torch._inductor.compile_fx") if name in sys.modules])
"""
    assert run(SEES + code) == "[]\n"


def test_a_lora_on_a_quantized_weight_is_made_for_it() -> None:
    code = """
from torchao.quantization import Int8WeightOnlyConfig, quantize_
quantize_(net, Int8WeightOnlyConfig())
net = get_peft_model(net, LoraConfig(target_modules=["0"]))
print(type(net.base_model.model[0]).__name__)
"""
    assert run(SEES + code) == "TorchaoLoraLinear\n"


def test_a_lora_on_weights_of_bitsandbytes_is_made_for_them() -> None:
    code = """
import bitsandbytes
net = torch.nn.Sequential(bitsandbytes.nn.Linear4bit(64, 64))
net.is_loaded_in_4bit = True
net = get_peft_model(net, LoraConfig(target_modules=["0"]))
print(type(net.base_model.model[0]).__module__, type(net.base_model.model[0]).__name__)
"""
    assert run(SEES + code) == "peft.tuners.lora.bnb Linear4bit\n"


def test_a_lora_on_weights_of_hqq_is_made_for_them() -> None:
    code = """
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
layer = HQQLinear(net[0], BaseQuantizeConfig(nbits=4, group_size=64), compute_dtype=torch.float32, device="cpu")
net = get_peft_model(torch.nn.Sequential(layer), LoraConfig(target_modules=["0"]))
print(type(net.base_model.model[0]).__name__)
"""
    assert run(SEES + code) == "HqqLoraLinear\n"


@functools.cache
def printed_without_stand_ins() -> dict[str, str]:
    """What each use prints in one process that has never seen the runtime."""
    code = "\n".join(f"{use}; print({name!r})" for name, use in USES.items())
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(zip(said[1::2], said[::2], strict=True))


@pytest.mark.parametrize("use", USES)
def test_whoever_imports_it_gets_it(use: str) -> None:
    """The words printed are those that the same code prints where nothing stands in."""
    assert run(USES[use]).strip() == printed_without_stand_ins()[use]


def test_a_function_that_was_taken_before_is_the_real_one_when_called() -> None:
    code = """
from torchao.prototype.safetensors.safetensors_utils import is_metadata_torchao
print("torchao" in sys.modules, is_metadata_torchao({"format": "pt"}), "torchao" in sys.modules)
"""
    assert run(code) == "False False True\n"


def test_a_class_that_was_taken_before_knows_its_instances_later() -> None:
    code = """
import torch
from torchao.utils import TorchAOBaseTensor
print(isinstance(torch.zeros(1), TorchAOBaseTensor), "torchao" in sys.modules)
from torchao.quantization import Int8WeightOnlyConfig, quantize_
net = torch.nn.Linear(64, 64)
quantize_(net, Int8WeightOnlyConfig())
print(isinstance(net.weight, TorchAOBaseTensor), isinstance(net.bias, TorchAOBaseTensor))
"""
    assert run(code) == "False False\nTrue False\n"
