"""Options and jobs: what is chosen, where each value came from, and how mistakes are reported."""

from __future__ import annotations

import json

import pytest
from swift_plugin_runtime.options import training_options

from swift_core import SwiftError
from swift_core.cli.work import explanation
from swift_core.contract.errors import SwiftErrors
from swift_core.job.options import Given, read_arguments, read_config
from swift_core.job.prepare import prepare


def given(**options):
    return [Given(k, v, "command line") for k, v in options.items()]


def test_arguments_dashes_lists_and_flags():
    found = {g.key: g.value for g in read_arguments("--lora-rank 4 --dataset a b --packing --x=1=2 --neg -3".split())}
    assert found == {"lora_rank": "4", "dataset": ["a", "b"], "packing": True, "x": "1=2", "neg": "-3"}


def test_values_are_typed_and_their_source_is_known(qwen2, write_rows, tmp_path):
    config = tmp_path / "job.yaml"
    config.write_text("learning_rate: 1e-3\nlora: {rank: 4}\nmax_length: 64\n")
    words = read_arguments(["--max-length", "128", "--lora.alpha", "16"])
    rows = write_rows([{"query": "a", "response": "b"}])
    job = prepare("sft", [*read_config(config), *given(model=qwen2, dataset=[rows]), *words])
    assert training_options(job).learning_rate == 1e-3 and job.options.max_length == 128
    lora = job.one("tuner")
    assert (lora.lora_rank, lora.lora_alpha) == (4, 16)
    assert job.sources["sft.learning_rate"] == str(config) and job.sources["max_length"] == "command line"
    assert job.sources["template"] == "card" and job.options.template == "qwen"


def test_swift_aliases(qwen2, write_rows):
    rows = write_rows([{"query": "a", "response": "b"}])
    job = prepare("sft", given(model=qwen2, dataset=[rows], train_type="full", batch_size=2, agent_template="hermes"))
    assert [c.entry.name for c in job.many("tuner")] == ["full"]
    assert training_options(job).per_device_train_batch_size == 2 and job.options.agent == "hermes"


def test_all_mistakes_are_reported_together(qwen2, write_rows):
    rows = write_rows([{"query": "a", "response": "b"}])
    with pytest.raises(SwiftErrors) as caught:
        prepare("sft", given(model=qwen2, dataset=[rows], lora_rnk=8, lora_alpha="many"))
    text = str(caught.value)
    assert "--lora_rnk" in text and "Did you mean 'lora_rank'?" in text and "lora_alpha" in text


def test_unknown_component_is_answered_with_the_nearest(qwen2):
    with pytest.raises(SwiftError, match=r"no tuner 'lorra'.*Did you mean 'lora'"):
        prepare("sft", given(model=qwen2, tuner="lorra"))


def test_impossible_combination_is_refused_with_the_reason(qwen2, write_rows):
    rows = write_rows([{"query": "a", "response": "b"}])
    with pytest.raises(SwiftError, match=r"full.*does not support quantizer.*no gradient"):
        prepare("sft", given(model=qwen2, dataset=[rows], tuner="full", quant_method="bnb"))


def test_named_tuners_compose(qwen2, write_rows):
    rows = write_rows([{"query": "a", "response": "b"}])
    words = read_arguments(["--tuner", "first=lora", "second=lora", "--first.rank", "2", "--second.rank", "3"])
    job = prepare("sft", [*given(model=qwen2, dataset=[rows]), *words])
    assert [(c.label, c.component.lora_rank) for c in job.many("tuner")] == [("first", 2), ("second", 3)]


def test_two_jobs_do_not_see_each_other(qwen2, write_rows):
    rows = write_rows([{"query": "a", "response": "b"}])
    one = prepare("sft", given(model=qwen2, dataset=[rows], lora_rank=2))
    two = prepare("sft", given(model=qwen2, dataset=[rows], lora_rank=5))
    assert one.one("tuner").lora_rank == 2 and two.one("tuner").lora_rank == 5
    assert one.plugin_manager is not two.plugin_manager


def test_missing_model_and_unknown_family(tmp_path):
    with pytest.raises(SwiftError, match="Which model"):
        prepare("sft", [])
    with pytest.raises(SwiftError, match="neither a local folder nor a checkpoint"):
        prepare("sft", given(model="./nothing-7b"))
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["FooForCausalLM"], "model_type": "foo"}))
    with pytest.raises(SwiftError, match=r"FooForCausalLM.*--model_type"):
        prepare("sft", given(model=str(tmp_path)))


def test_hub_id_finds_family_and_template():
    job = prepare("sft", given(model="qwen/qwen2-vl-7b-instruct"))
    assert job.card.name == "qwen2_vl" and job.options.template == "qwen2_vl" and job.options.bbox == "qwen2_vl"


def test_explain_shows_the_chain(qwen2, write_rows):
    rows = write_rows([{"query": "a", "response": "b"}])
    text = "\n".join(explanation(prepare("sft", given(model=qwen2, dataset=[rows], lora_rank=3))))
    assert "tuner default: swift-plugin-lora" in text and "--lora_rank 3 (command line)" in text
    assert "load_model: loader:transformers" in text and ".py:" in text


def test_lock_records_versions_and_options(qwen2, write_rows, tmp_path):
    rows = write_rows([{"query": "a", "response": "b"}])
    job = prepare("sft", given(model=qwen2, dataset=[rows], lora_rank=3))
    job.write_lock(tmp_path)
    lock = json.loads((tmp_path / "swift.lock.json").read_text())
    tuner = next(c for c in lock["components"] if c["kind"] == "tuner")
    assert tuner["package"] == "swift-plugin-lora" and tuner["options"]["lora_rank"] == 3 and tuner["version"]
