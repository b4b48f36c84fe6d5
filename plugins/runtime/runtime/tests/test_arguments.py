"""What transformers would refuse is told before anything is loaded, and its names are those of the installed one."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import get_args

import pytest
from swift_plugin_runtime.arguments import BY_LOSS, SETTINGS, Schedule, argument_types, loggers
from swift_testing.contracts import bare_model, catalogue, write_rows

from swift_core.contract.errors import SwiftErrors
from swift_core.job.options import Given
from swift_core.job.prepare import prepare


def checked(rows, **options):
    given = {"model": bare_model(), "dataset": rows, **options}
    job = prepare("sft", [Given(k, v, "test") for k, v in given.items()], catalogue())
    job.hook.check_job(job=job)
    return job


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path, [{"query": "a", "response": "b"}])


def test_the_names_are_those_of_transformers():
    from transformers import TrainingArguments
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    assert set(get_args(Schedule)) == {kind.value for kind in SchedulerType}
    assert {*SETTINGS, *BY_LOSS} <= set(get_args(Schedule))
    known = argument_types()
    assert set(known) == {f.name for f in dataclasses.fields(TrainingArguments) if f.init}
    assert set(get_args(known["optim"])) == {kind.value for kind in OptimizerNames}
    assert (known["tf32"], known["max_steps"]) == (bool | None, int)
    assert set(loggers()) == set(INTEGRATION_TO_CALLBACK)


REFUSED = {
    "a key": ({"training_args": {"warmup_step": 3}}, "no 'warmup_step'. Did you mean 'warmup_steps'?"),
    "a type": ({"training_args": {"max_steps": "many"}}, "max_steps cannot be 'many'"),
    "a choice": ({"training_args": {"optim": "adamm"}}, "optim cannot be 'adamm'"),
    "a logger": ({"report_to": "tensorbord"}, "Did you mean 'tensorboard'?"),
    "no end": ({"num_train_epochs": "inf"}, "--num_train_epochs must be finite"),
    "two precisions": ({"fp16": True, "bf16": True}, "exclude each other"),
    "no evaluation": ({"load_best_model_at_end": True}, "--load_best_model_at_end watches evaluations"),
    "nothing saved": (
        {"load_best_model_at_end": True, "split_dataset_ratio": 0.5, "save_strategy": "no"},
        "other than no",
    ),
    "steps": (
        {"load_best_model_at_end": True, "split_dataset_ratio": 0.5, "save_steps": 10, "eval_steps": 4},
        "--save_steps 10 must be a multiple of --eval_steps 4",
    ),
    "a plateau": ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "follows the evaluation loss"),
    "a schedule's setting": ({"lr_scheduler_type": "cosine_with_min_lr"}, "needs min_lr or min_lr_rate"),
    "workers": ({"training_args": {"dataloader_prefetch_factor": 2}}, "needs dataloader_num_workers"),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_a_line(options, said, rows):
    with pytest.raises(SwiftErrors) as caught:
        checked(rows, **options)
    (line,) = caught.value.mistakes
    assert said in line


def test_a_schedule_is_checked_with_all_else(rows):
    with pytest.raises(SwiftErrors, match=r"--lr_scheduler_type cosin: .*Did you mean 'cosine'\?"):
        checked(rows, lr_scheduler_type="cosin")


ALLOWED = (
    {"load_best_model_at_end": True, "split_dataset_ratio": 0.5, "save_steps": 10, "eval_steps": 5},
    {"early_stopping_patience": 1, "split_dataset_ratio": 0.5},
    {"lr_scheduler_type": "cosine_with_min_lr", "training_args": {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}}},
    {"lr_scheduler_type": "greedy", "split_dataset_ratio": 0.5},
    {
        "training_args": {
            "optim": "sgd",
            "warmup_steps": 3,
            "dataloader_num_workers": 1,
            "dataloader_prefetch_factor": 2,
        }
    },
    {"report_to": ["tensorboard", "wandb"]},
)


@pytest.mark.parametrize("options", ALLOWED, ids=str)
def test_what_fits_is_left_alone(options, rows):
    checked(rows, **options)


def test_float16_is_no_bfloat16(rows):
    assert checked(rows, fp16=True).one("trainer").bf16 is False


def test_the_check_imports_no_torch():
    code = "import sys\nfrom swift_plugin_runtime.arguments import argument_types, loggers\n"
    code += "assert argument_types() and loggers() and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
