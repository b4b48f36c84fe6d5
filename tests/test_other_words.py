"""What other programs call our options: each row of the table names options that there are, and errors tell it."""

from __future__ import annotations

import re

import pytest
from swift_plugin_runtime.options import TrainingOptions

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError, SwiftErrors
from swift_core.job.options import Given, match_field
from swift_core.job.other_words import TABLE, other_words
from swift_core.job.prepare import prepare
from swift_core.job.specs import JOBS

MEANINGS = [(word, meaning) for word, meanings in other_words().items() for meaning in meanings]


@pytest.fixture(scope="module")
def owners():
    """The options of all jobs, and of every component that has any."""
    jobs = {spec.options_class() for spec in JOBS.values()}
    catalogue = Catalogue.installed()
    return [*jobs, *(c for e in catalogue.entries if e.kind not in ("model", "template") and is_class(c := e.load()))]


def is_class(component):
    return isinstance(component, type)


def test_every_meaning_is_an_option(owners):
    for word, meaning in MEANINGS:
        for name in meaning.names():
            assert any(match_field(owner, name) == name for owner in owners), (word, name)


def test_every_component_of_a_meaning_is_there():
    kinds = {"quantizer", "tuner", "optimizer", "patcher", "launcher", "reward"}
    for word, meaning in MEANINGS:
        for option, values in re.findall(r"--(\w+)((?: [^\s-]\S*)*)", meaning.said):
            for value in values.split() if option in kinds else ():
                assert Catalogue.installed().find(option, value).name == value, word


def test_a_word_is_no_option_of_the_owner_of_its_meaning(owners):
    """Such a row would never be asked for."""
    for word, meaning in MEANINGS:
        first = meaning.names()[0]
        both = [owner for owner in owners if match_field(owner, word) and match_field(owner, first)]
        assert not any(match_field(owner, word) == first for owner in both), (word, both)


def test_words_of_transformers_are_its_arguments():
    import dataclasses

    import transformers

    fields = {f.name for f in dataclasses.fields(transformers.TrainingArguments)}
    rows = [(word, m) for word, m in MEANINGS if m.said.startswith("--training_args")]
    assert rows
    for word, meaning in rows:
        assert meaning.said == f"--training_args '{{\"{word}\": VALUE}}'"
        assert word in fields
        assert not match_field(TrainingOptions, word)


def test_the_table_is_sorted_and_has_no_row_twice():
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    assert lines == sorted(set(lines))


TOLD = {
    "lr": "--learning_rate",
    "epochs": "--num_train_epochs",
    "bs": "--per_device_train_batch_size",
    "batch": "--per_device_train_batch_size",
    "finetuning_type": "--tuner",
    "cutoff_len": "--max_length",
    "micro_batch_size": "--per_device_train_batch_size",
    "sequence_len": "--max_length",
    "max_seq_length": "--max_length",
    "lora_target": "--target_modules",
    "val_set_size": "--split_dataset_ratio",
    "base_model": "--model",
    "load_in_4bit": "--quantizer bnb --quant_bits 4",
    "num_epochs": "--num_train_epochs",
    "per_device_batch_size": "--per_device_train_batch_size",
    "nnodes": "--launcher torchrun --nnodes",
    "pipeline_parallel_size": "--trainer megatron_sft --pipeline_parallel_size",
    "context_parallel_size": "--launcher torchrun --sequence_parallel_size",
}


def test_the_error_says_what_a_word_is_here(qwen2):
    given = [Given("model", qwen2, "t"), *(Given(word, "1", "t") for word in TOLD)]
    with pytest.raises(SwiftErrors) as caught:
        prepare("sft", given)
    for word, here in TOLD.items():
        assert f"There is no option --{word} (in t). Here it is {here}." in caught.value.mistakes


def test_a_meaning_that_the_job_does_not_have_is_not_told(qwen2):
    with pytest.raises(SwiftError) as caught:
        prepare("infer", [Given("model", qwen2, "t"), Given("lr", "1", "t")])
    assert "Here it is" not in str(caught.value)


def test_a_tuner_where_adapters_are_meant(qwen2):
    with pytest.raises(SwiftError, match=r"'lora' does not exist\. To train a new one say --tuner lora\."):
        prepare("sft", [Given("model", qwen2, "t"), Given("adapter", "lora", "t")])
