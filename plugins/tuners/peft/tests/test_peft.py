"""The generic tuner keeps the contract with methods that have no plugin of their own."""

from swift_testing import TunerContract


class TestShira(TunerContract):
    name = "peft"
    options = {"peft_type": "SHIRA", "peft_args": {"r": 4}}
    trains = r"\.shira_weight\."
    families = ("qwen2", "llama", "qwen2_vl")
    identity_at_start = True
    learning_rate = 0.05


class TestC3a(TunerContract):
    name = "peft"
    options = {"peft_type": "c3a", "peft_args": {"block_size": 16, "target_modules": ["q_proj", "up_proj"]}}
    trains = r"\.c3a_kernel\."
    families = ("qwen2",)
    learning_rate = 0.1


def test_unknown_methods_and_settings_are_refused():
    import pytest

    from swift_core.api import prepare_model
    from swift_core.contract.errors import SwiftError

    pytest.importorskip("torch")
    import torch
    from swift_plugin_peft import Peft

    with pytest.raises(SwiftError, match="Did you mean 'shira'"):
        prepare_model(torch.nn.Linear(2, 2), Peft(peft_type="SHIRRA"))
    with pytest.raises(SwiftError, match="no setting 'rank'"):
        prepare_model(torch.nn.Linear(2, 2), Peft(peft_type="shira", peft_args={"rank": 3}))
