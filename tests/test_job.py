"""Options and jobs: what is chosen, where each value came from, and how mistakes are reported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from swift_plugin_runtime.options import training_options
from swift_testing.contracts import bare_model

from swift_core import SwiftError, hookimpl
from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.cli.work import explanation, prepared
from swift_core.contract.errors import SwiftErrors
from swift_core.job.options import HANDED, Given, read_arguments, read_config
from swift_core.job.prepare import prepare
from swift_core.jobs import train
from swift_core.jobs.infer import asked_rows
from swift_core.jobs.train import finish


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


def test_a_choice_of_numbers_is_taken_from_the_command_line(qwen2):
    words = ["--model", qwen2, "--quantizer", "awq", "--quant_bits"]
    assert prepared("export", [*words, "8"]).one("quantizer").quant_bits == 8
    with pytest.raises(SwiftError, match="--quant_bits 5"):
        prepared("export", [*words, "5"])


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


def test_a_system_text_may_stand_in_a_file(qwen2, write_rows, tmp_path, capsys):
    rows, file = write_rows([{"query": "a", "response": "b"}]), tmp_path / "prompt.txt"
    file.write_text("Be brief.\nSay 'yes'.", encoding="utf-8")
    job = prepare("sft", given(model=qwen2, dataset=[rows], system=str(file)))
    assert job.options.system == "Be brief.\nSay 'yes'." and job.sources["system"] == str(file)
    assert f"--system: the text of {file} (20 characters)" in capsys.readouterr().err
    job.write_lock(tmp_path)
    file.unlink()
    assert prepare("infer", given(ckpt_dir=str(tmp_path), model=qwen2)).options.system == job.options.system


@pytest.mark.parametrize("text", ["Be brief.", "prompt.md", "First line.\nprompt.txt", ""])
def test_any_other_system_text_is_taken_as_it_is(qwen2, text, capsys):
    assert prepare("infer", given(model=qwen2, system=text)).options.system == text
    assert "--system" not in capsys.readouterr().err


def test_a_system_file_that_cannot_be_read_is_an_error_beside_the_others(qwen2, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for name, why in (("missing.txt", "No such file"), ("latin.txt", "can't decode"), (".txt", "No such file")):
        with pytest.raises(SwiftErrors) as refused:
            prepare("infer", given(model=qwen2, system=str(tmp_path / name), top_k="many"))
        assert (
            why in str(refused.value) and "ends in .txt" in str(refused.value) and "--top_k many" in str(refused.value)
        )


def test_the_seed_reaches_the_order_of_the_data_unless_that_has_its_own(qwen2, write_rows):
    rows = write_rows([{"query": "a", "response": "b"}])

    def seeds(**options):
        job = prepare("sft", given(model=qwen2, dataset=[rows], **options))
        return job.options.seed, job.options.data_seed, job.sources.get("data_seed")

    assert seeds() == (42, 42, None)
    assert seeds(seed=7) == (7, 7, "--seed")
    assert seeds(data_seed=1) == (42, 1, "command line") and seeds(seed=7, data_seed=1) == (7, 1, "command line")
    with pytest.raises(SwiftErrors) as refused:
        seeds(seed="x")
    assert str(refused.value).count("seed") == 1


def test_an_inference_holds_out_the_rows_that_training_held_out(qwen2, write_rows, tmp_path):
    rows = write_rows([{"query": str(n), "response": "b"} for n in range(40)])
    said = {"model": qwen2, "dataset": [rows], "split_dataset_ratio": 0.1}
    job = prepare("sft", given(**said, seed=7))
    job.write_lock(tmp_path)
    held = [row.messages for row in train.load_data(job)[1]]
    later = prepare("infer", given(**said, ckpt_dir=str(tmp_path)))
    assert later.options.data_seed == 7 and [row.messages[:1] for row in asked_rows(later)] == [m[:1] for m in held]
    assert prepare("sft", given(**said, adapters=[str(tmp_path)])).options.data_seed == 42


def quantized(folder, method):
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "quantization_config": {"quant_method": method},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def with_more(*entries):
    found = Catalogue.installed()
    return Catalogue([*found.entries, *entries], dict(found.facts))


BROKEN = Entry("quantizer", "broken", "swift-plugin-aqlm", "1.0", "", "acme_broken:Broken")


def test_a_quantized_checkpoint_selects_the_quantizer_that_reads_it(tmp_path):
    model = quantized(tmp_path, "bitsandbytes")
    job = prepare("infer", given(model=model), with_more(BROKEN))  # another one that is broken is no matter
    assert job.options.quantizer == "bnb" and job.sources["quantizer"].endswith("config.json")


def test_nobody_reads_it_while_one_cannot_be_loaded_or_two_do(tmp_path):
    with pytest.raises(SwiftError, match=r"quantizer 'broken' .*cannot be loaded"):
        prepare("infer", given(model=quantized(tmp_path, "of-nobody")), with_more(BROKEN))
    bnb = Catalogue.installed().find("quantizer", "bnb")
    twin = Entry("quantizer", "twin", "acme-twin", "1.0", "", bnb.target)
    with pytest.raises(SwiftError, match=r"Several quantizers read bitsandbytes: bnb, twin\. Say --quantizer"):
        prepare("infer", given(model=quantized(tmp_path, "bitsandbytes")), with_more(twin))


def test_a_trainer_that_keeps_no_best_checkpoint_ends_with_the_newest(qwen2, write_rows, tmp_path):
    rows = write_rows([{"query": "a", "response": "b"}])
    job = prepare("sft", given(model=qwen2, dataset=[rows], output_dir=str(tmp_path)))
    saved = []
    trainer = SimpleNamespace(state=SimpleNamespace(global_step=3), save_model=saved.append)
    assert finish(job, trainer) == str(tmp_path / "checkpoint-3") == saved[0]


def test_a_backend_beside_a_server_to_ask_is_refused(tmp_path):
    with pytest.raises(SwiftError, match="--eval_url asks a server, so --backend vllm has nothing to do"):
        prepare("eval", given(eval_url="http://127.0.0.1:1/v1", backend="vllm"))


def mistakes_of(words, name="sft"):
    with pytest.raises(SwiftErrors) as caught:
        prepared(name, words)
    return caught.value.mistakes


def test_mistakes_of_every_sort_come_in_one_pass(tmp_path):
    config = tmp_path / "job.yaml"
    config.write_text("num_train_epochs: many\ncutoff_len: 9\nlora: {lora_rank: 4}\n")
    words = (
        "rows.yaml --config JOB NONE --modle x --tuner lorra --dataset nofile.jsonl --adapters nowhere --max_length 0"
    )
    told = mistakes_of([{"JOB": str(config), "NONE": "none.yaml"}.get(w, w) for w in words.split()])
    expected = (
        "'rows.yaml' is not an option. Options are written --name value. A job file is read by --config rows.yaml.",
        "The job file 'none.yaml' does not exist.",
        "--max_length 0: ",
        "Which model?",
        "There is no tuner 'lorra' installed. Did you mean 'lora'?",
        "The adapter folder 'nowhere' does not exist.",
        "The data file 'nofile.jsonl' does not exist",
        "There is no option --cutoff_len",
        "There is no option --modle. Did you mean 'model'?",
        "--num_train_epochs many: ",
    )
    for text in expected:
        assert any(line.startswith(text) for line in told), (text, told)
    assert not any("no option --lora" in line for line in told)  # it may be of the tuner that is not there
    assert len(told) == len(expected)


def test_what_follows_from_a_mistake_is_no_mistake_of_its_own(tmp_path):
    told = mistakes_of(["--model", "a", "b", "--tuner", "lorra", "--lora_rank", "4", "--dataset", "x.jsonl"])
    assert [line.split(":")[0] for line in told if "lorra" not in line] == [
        "--model ['a', 'b']",
        "The data file 'x.jsonl' does not exist (looked in " + str(Path.cwd()) + ").",
    ]
    (told,) = mistakes_of(["--ckpt_dir", "nowhere"], "infer")
    assert told == "The checkpoint folder 'nowhere' does not exist."


def test_what_a_job_needs_is_told_with_its_other_mistakes():
    assert "swift sft needs --dataset." in mistakes_of(["--lora_rank", "0"])
    assert not any("needs" in line for line in mistakes_of(["--max_new_tokens", "0"], "infer"))


def test_a_choice_is_answered_with_the_nearest():
    assert any("Did you mean 'bfloat16'?" in line for line in mistakes_of(["--torch_dtype", "bflot16"]))


def test_two_options_that_do_not_agree_are_told_with_the_rest():
    told = mistakes_of(["--eval_url", "http://127.0.0.1:1", "--backend", "vllm", "--lr", "1"], "eval")
    assert len(told) == 2 and "leave it out" in told[0] and "--lr" in told[1]


@pytest.mark.parametrize(
    ("text", "said"),
    {
        "a list": ("[1, 2]", "must be a map"),
        "no date": ("model: 2024-13-45", "is not valid YAML"),
        "itself": ("a: &a [*a]", "a value within itself"),
        "laughs": ("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
        ), "holds more than"),
        "deep": ("a: " + "[" * 5000, "is not valid YAML"),
        "bytes": ("a: \x01", "is not valid YAML"),
    }.values(),
)  # fmt: skip
def test_a_job_file_that_is_none_is_refused(text, said, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(SwiftError, match=said):
        read_config(file)


def test_keys_reach_the_processes_of_a_launcher_and_no_file(tmp_path: Path) -> None:
    said = {"model": bare_model(), "rlhf_type": "grpo", "reward": ["judge", "format"], "launcher": "torchrun"}
    said |= {"judge_url": "http://127.0.0.1:9", "judge_api_key": "s3cr3t", "hub_token": "t0ken"}
    job = prepare("rlhf", [Given(key, value, "test") for key, value in said.items()])
    seen: dict[str, Any] = {}

    class Launch:
        @hookimpl
        def launch(self, job: Any, command: list[str]) -> int:
            seen.update(file=Path(command[-1]).read_text(), job=prepared(command[2], command[3:]))
            return 0

    job.plugin_manager.register(Launch())
    train._launch(job, tmp_path)
    assert "judge_url" in seen["file"] and not any(word in seen["file"] for word in ("s3cr3t", "t0ken"))
    judge = seen["job"].many("reward")[0].component
    assert judge.judge_api_key == "s3cr3t"
    assert seen["job"].options.hub_token == "t0ken"
    assert HANDED not in os.environ
