"""--target_modules: all-linear and its other spellings, names, one pattern; what fits nothing lists what there is."""

from __future__ import annotations

import peft
import pytest
from swift_plugin_lora import Lora
from swift_plugin_runtime.tuning import adapters
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError, prepare_model
from swift_core.contract.errors import SwiftErrors
from swift_core.job.options import Given
from swift_core.job.prepare import prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture
def model(folder):
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def adapted(model):
    return {name.rpartition(".")[2] for name, m in model.named_modules() if hasattr(m, "lora_A")}


@pytest.mark.parametrize("word", ["all", "ALL", "all-linear", "all_linear"])
def test_all_is_all_linear(model, word):
    every = {name.rpartition(".")[2] for name, m in model.named_modules() if adapters.is_linear(m)} - {"lm_head"}
    assert adapted(prepare_model(model, Lora(target_modules=[word]))) == every


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["q_proj"], {"q_proj"}),
        (["q_proj", "v_proj"], {"q_proj", "v_proj"}),
        ([r".*\.[kv]_proj"], {"k_proj", "v_proj"}),
    ],
)
def test_a_name_names_and_a_pattern(model, words, found):
    assert adapted(prepare_model(model, Lora(target_modules=words))) == found


REFUSED = {
    "a name that no module has": (["q_proj", "gate_up"], "--target_modules gate_up: no module has that name"),
    "one name": (["wqkv"], "--target_modules wqkv fits no module"),
    "a pattern": ([r".*\.w1"], r"fits no module"),
    "no pattern": (["*.q_proj"], "is not a regular expression"),
    "commas": (["q_proj,v_proj"], "Put spaces between names"),
    "a block": (["self_attn"], "PEFT adapts single layers, and no Qwen2Attention"),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_what_fits_nothing_lists_what_there_is(model, words, said):
    with pytest.raises(SwiftError) as caught:
        prepare_model(model, Lora(target_modules=words))
    text = str(caught.value)
    assert said in text
    if "regular" not in said:
        layers = model.config.num_hidden_layers
        assert f"q_proj ({layers})" in text and "lm_head (1)" in text and "say all-linear" in text
    assert "\n" not in text


def test_all_linear_stands_alone(folder):
    given = [Given("model", folder, "t"), Given("target_modules", ["q_proj", "all-linear"], "t")]
    with pytest.raises(SwiftErrors, match="or all-linear alone"):
        prepare("sft", given)


def test_an_adapter_of_another_model_does_not_fit(model, tmp_path):
    other = peft.LoraConfig(target_modules=["query_key_value"], task_type="CAUSAL_LM")
    with pytest.raises(SwiftError, match=r"The lora adapter does not fit: Target modules .*q_proj \("):
        adapters.attach(model, other, "default")


def test_modules_to_save_that_are_not_there(model):
    with pytest.raises(
        SwiftError,
        match=r"--modules_to_save lm_hed: no module has that name\. Did you mean 'lm_head'\? It has .*embed_tokens",
    ):
        prepare_model(model, Lora(modules_to_save=["lm_hed"]))
