"""--freeze_vit and --freeze_aligner hold whatever a tuner is told to train."""

from __future__ import annotations

import pytest

from swift_core import SwiftError, run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model

ROW = {"query": "Hello?", "response": "Yes."}
LAYERS = ["q_proj", "qkv", "fc1"]
"""A layer of the language model and two of the tower."""


@pytest.fixture
def trained(qwen2_vl, write_rows):
    """The names of what trains under these options."""

    def names(**options):
        said = {"model": qwen2_vl, "dataset": write_rows([ROW]), "device": "cpu", **options}
        job = prepare("sft", [Given(k, v, "test") for k, v in said.items()])
        model = attach_tuners(job, load_model(job)[0])
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]

    return names


def in_tower(names):
    return [name for name in names if ".visual." in name]


@pytest.mark.parametrize(
    "tuner",
    "lora dora rslora pissa olora adalora ia3 lokr loha boft oft vera fourierft miss".split(),
)
def test_named_layers_of_the_tower_stay_as_they_are(trained, tuner):
    """The layer of the language model is adapted, those of the tower are not; with the flag off, all are."""
    names = trained(tuner=tuner, target_modules=LAYERS)
    assert names and not in_tower(names) and all("q_proj" in name for name in names)
    both = trained(tuner=tuner, target_modules=LAYERS, freeze_vit=False)
    assert in_tower(both) and len(both) > len(names)


@pytest.mark.parametrize(
    "options",
    [
        {"tuner": "lora", "target_modules": ["q_proj"]},
        {"tuner": "lora", "target_modules": [r".*\.(q_proj|qkv)"]},
        {"tuner": ["one=lora", "two=lora"], "target_modules": LAYERS},
        {"tuner": "lora", "target_modules": ["q_proj"], "modules_to_save": ["norm", "norm1"]},
        {"tuner": "peft", "peft_type": "SHIRA", "peft_args": {"target_modules": LAYERS, "r": 2}},
        {"tuner": "adapter", "adapter_modules": ".*mlp"},
        {"tuner": "reft", "reft_modules": ".*(blocks|layers).0"},
        {"tuner": "scedit", "scedit_modules": ".*mlp"},
        {"tuner": "full"},
        {"tuner": "lisa"},
        {"tuner": "ln_tuning"},
        {"tuner": "freeze", "freeze_parameters_ratio": 1.0, "trainable_parameters": ["model.visual", "lm_head"]},
        {"tuner": "freeze", "trainable_parameters_regex": "norm"},
    ],
    ids=str,
)
def test_nothing_of_the_tower_trains(trained, options):
    names = trained(**options)
    assert names and not in_tower(names)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tuner": "lora", "target_modules": ["qkv"]}, "--target_modules qkv"),
        ({"tuner": "lora", "target_modules": ["qkv", "fc1"]}, "--target_modules qkv fc1"),
        ({"tuner": "ia3", "target_modules": [r".*visual.*\.fc1"]}, "--target_modules"),
        ({"tuner": "lora", "modules_to_save": ["norm1"]}, "--modules_to_save norm1"),
        ({"tuner": "adapter", "adapter_modules": ".*visual.*mlp"}, "The regex '.*visual.*mlp'"),
        ({"tuner": "freeze", "trainable_parameters": ["model.visual.blocks"]}, "--trainable_parameters"),
    ],
    ids=str,
)
def test_frozen_parts_alone_are_an_error_that_names_the_flag(trained, options, said):
    with pytest.raises(
        SwiftError, match=r"frozen parts alone: model\.visual\.blocks.*Say --freeze_vit false"
    ) as caught:
        trained(**options)
    assert str(caught.value).startswith(said)
    assert in_tower(trained(**options, freeze_vit=False))


def test_layers_of_the_aligner_have_their_own_flag(trained):
    with pytest.raises(SwiftError, match=r"frozen parts alone: model\.visual\.merger.*Say --freeze_aligner false"):
        trained(target_modules=[r".*merger\.mlp\.0"])
    assert in_tower(trained(target_modules=[r".*merger\.mlp\.0"], freeze_aligner=False))


def test_a_name_that_fits_nothing_is_said(trained):
    with pytest.raises(SwiftError, match="--target_modules q_porj fits no module"):
        trained(target_modules=["q_porj"])


def test_biases_of_the_tower_do_not_train_with_lora_bias(qwen2_vl, write_rows, tmp_path):
    """--lora_bias all trains biases everywhere but in frozen parts: after a run, they are the very same."""
    shared = {"model": qwen2_vl, "dataset": [write_rows([ROW])], "max_steps": 1, "device": "cpu", "learning_rate": 0.1}
    done = run("sft", **shared, output_dir=str(tmp_path / "out"), lora_bias="all", warmup_steps=0)
    model = done["trainer"].model
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert not in_tower(names) and any(name.endswith("q_proj.base_layer.bias") for name in names)
