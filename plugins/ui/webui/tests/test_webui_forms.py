"""Forms from options, and what is filled in as command, job file and script: nothing is lost on the way."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, is_dataclass

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from swift_plugin_webui.forms.fields import fields_of_owner
from swift_plugin_webui.forms.presets import MEMORY, TASKS
from swift_plugin_webui.forms.shown import FIRST, GROUP, MOST_FOUND, components_of, form_of
from swift_plugin_webui.forms.written import WrittenJob, read_command, read_yaml
from swift_plugin_webui.page.drafts import Draft
from swift_plugin_webui.page.job_tab import NO_FORM
from swift_plugin_webui.page.texts import Texts
from swift_testing.contracts import bare_model

from swift_core import SwiftError, option
from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.cli import quick
from swift_core.job.options import Given, build, fields_of, read_config
from swift_core.job.prepare import prepare
from swift_core.job.recipes import given_of
from swift_core.job.specs import JOBS, find_job

HARD = [
    "two words",
    "a \"quoted\" word, an 'apostrophe' and `ticks` $HOME",
    '{"query": "response"}',
    "你是一个有用的助手。回答要简短!",
    "two\nlines, a tab\tand a backslash C:\\models\\new",
    "--begins like an option",
    "--=",
    "[not a list",
    "",
    "- a dash, : a colon, # a hash",
    "true",
    "1e5",
]


@pytest.mark.parametrize("text", HARD)
def test_a_text_arrives_as_it_was_typed(text, tmp_path):
    """Through the words of a command line, a shell, a script and a job file, into the kernel's own options."""
    written = form_of("sft", {}).written({"system": text, "model": "m"})
    for again in (
        read_command(written.command()),
        read_command(written.as_shell()),
        read_yaml(written.as_yaml(), "sft"),
    ):
        assert _kernel(again).system == (text or None if "system" not in again.values else text)
    file = tmp_path / "job.yaml"
    file.write_text(written.as_yaml(), encoding="utf-8")
    said = {g.key: g.value for g in read_config(file)}
    assert said == written.values


def _kernel(written):
    return build(find_job(written.job).options_class(), dict(written.values), "test")


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=20), max_size=4)
)
def test_lists_of_any_texts_arrive(items):
    written = WrittenJob("infer", {"stop_words": items})
    words = shlex.split(shlex.join(written.words()))
    assert _kernel(read_command("swift " + shlex.join(words))).stop_words == items
    assert _kernel(read_yaml(written.as_yaml(), "infer")).stop_words == items


def test_json_numbers_switches_and_lists_keep_their_types():
    raw = {
        "columns": '{"query": "问题", "answer": "a \\"b\\""}',
        "strict": False,
        "split_dataset_ratio": "1e-1",
        "max_length": "1_024",
        "dataset": ["my rows.jsonl", "其他.jsonl#500"],
        "dataset_weights": "0.25\n0.75",
        "tuner": [],
        "enable_thinking": "false",
    }
    written = form_of("sft", {}).written(raw)
    wanted = {
        "columns": {"query": "问题", "answer": 'a "b"'},
        "strict": False,
        "split_dataset_ratio": 0.1,
        "max_length": 1024,
        "dataset": ["my rows.jsonl", "其他.jsonl#500"],
        "dataset_weights": [0.25, 0.75],
        "tuner": [],
        "enable_thinking": False,
    }
    assert written.values == wanted
    for again in (read_command(written.command()), read_yaml(written.as_yaml(), "sft")):
        made = _kernel(again)
        assert {name: getattr(made, name) for name in wanted} == wanted


def test_what_is_not_touched_is_not_said():
    """Defaults of several lines once came back changed from a page, and stopped every evaluation."""
    form = form_of("eval", {"evaluator": ["csv"]})
    raw = {field.key: field.default for field in form.fields().values()}
    assert form.written(raw).values == {}
    assert form.fields()["choice_prompt"].sort == "lines"


def test_mistakes_are_told_together_and_say_which_option():
    with pytest.raises(SwiftError) as error:
        form_of("sft", {}).written({"columns": "{broken", "max_length": "many", "torch_dtype": "float7"})
    text = str(error.value)
    assert "--columns is not valid JSON" in text and "--max_length must be a whole number" in text
    assert "--torch_dtype cannot be 'float7': choose float32, bfloat16" in text


def test_every_option_of_everything_installed_has_a_field():
    """By type: choices of Literals and of installed components, switches, numbers, JSON, secrets, long texts."""
    catalogue, sorts = Catalogue.installed(), {}
    for job, spec in JOBS.items():
        for field in form_of(job, {}, catalogue).groups[0].fields:
            sorts[field.key] = field
        assert len(form_of(job, {}, catalogue).groups[0].fields) == len(fields_of(spec.options_class()))
    assert sorts["torch_dtype"].sort == "choice" and "bfloat16" in sorts["torch_dtype"].choices
    assert sorts["tuner"].sort == "list" and "lora" in sorts["tuner"].choices and sorts["tuner"].free
    assert sorts["strict"].sort == "switch" and sorts["columns"].sort == "json" and sorts["system"].sort == "lines"
    assert {key for key, field in sorts.items() if field.sort == "secret"} == {"hub_token", "api_key"}
    for entry in catalogue.entries:
        if entry.kind in ("tuner", "trainer", "reward", "quantizer", "optimizer", "evaluator", "exporter"):
            owner = entry.load()
            if isinstance(owner, type):
                assert len(fields_of_owner(owner, entry.name, {}, {})) == len(fields_of(owner)), entry.title


def test_a_third_partys_component_brings_its_form(monkeypatch):
    @dataclass
    class Mine:
        swift_api = 1
        mine_size: int = option(3, "How large.")
        model: str = option("x", "A name that the job has, too.")

    monkeypatch.setattr(Entry, "load", lambda self: Mine)
    mine = Entry("tuner", "mine", "acme", "1", "", "acme:Mine")
    form = form_of("sft", {"tuner": ["mine"]}, Catalogue([mine]))
    assert [group.title for group in form.groups] == ["swift sft", "tuner mine"]
    assert form.fields()["mine_size"].help == "How large." and "mine.model" in form.fields()
    assert "mine" in form.fields()["tuner"].choices


def test_components_of_a_job_bring_their_options_and_defaults_differ_by_job():
    assert form_of("pt", {}).fields()["tuner"].default == ["full"]
    titles = [
        g.title for g in form_of("rlhf", {"trainer": "grpo", "reward": ["accuracy"], "tuner": ["first=lora"]}).groups
    ]
    assert {"trainer grpo", "reward accuracy", "tuner lora", "loss_scale default"} <= {*titles, "loss_scale default"}
    own = list(form_of("sft", {}).groups[0].fields)
    assert ("tuner", "dora") in components_of(own, {"tuner": ["a=dora", "lora"]})


def test_search_finds_by_name_and_by_help():
    found = [field.key for group in form_of("sft", {}).search("rank") for field in group.fields]
    assert "lora_rank" in found and "dataset" not in found
    assert any(
        field.key == "learning_rate" for group in form_of("sft", {}).search("learning rate") for field in group.fields
    )
    assert form_of("sft", {}).search("no such words at all") == []


def test_how_a_job_is_spread_is_asked_in_one_place():
    """Strategies that options alone choose are there without being named; a launcher brings its own when it is."""
    form = form_of("sft", {"launcher": "torchrun"})
    keys = [field.key for field in form.spread()]
    assert {"launcher", "nproc_per_node", "deepspeed", "fsdp", "sequence_parallel_size", "tensor_parallel_size"} <= {
        *keys
    }
    assert not {*keys} & {field.key for group in form.groups for field in form.rest(group.title)}
    written = form.written({"launcher": "torchrun", "nproc_per_node": "2", "deepspeed": "zero2"})
    assert written.values == {"launcher": "torchrun", "nproc_per_node": 2, "deepspeed": "zero2"}
    written.devices = ["0", "3"]
    assert written.command().startswith("CUDA_VISIBLE_DEVICES=0,3 swift sft --launcher torchrun")
    draft = Draft("train", "sft")
    draft.load(written.as_shell(), ("sft",))
    assert draft.devices == ["0", "3"] and draft.written().values == written.values


def test_options_say_themselves_in_chinese_and_are_found_so():
    fields, told = form_of("sft", {}).fields(), Texts("中文").help
    assert (
        told(fields["model"]) == "模型在社区的 id 或本地文件夹。"
        and Texts().help(fields["model"]) == fields["model"].help
    )
    found = [field.key for group in form_of("sft", {}).search("学习率", told) for field in group.fields]
    assert "learning_rate" in found and form_of("sft", {}).search("学习率") == []
    of_jobs = [f for job in JOBS for f in form_of(job, {}).groups[0].fields]
    assert [f.key for f in of_jobs if told(f) == f.help] == [], "every option of a job is translated"


def test_values_go_with_the_component_that_took_them():
    draft = Draft("train", "sft", {"model": "m", "lora_rank": "4", "unknown": 1})
    before = draft.form()
    draft.take("tuner", ["full"])
    assert draft.leave_out(before) == ["lora_rank"] and draft.written().values == {
        "model": "m", "unknown": 1, "tuner": ["full"]
    }  # fmt: skip


def test_secrets_stand_nowhere():
    written = form_of("sft", {}).written({"hub_token": "hf_abc123", "model": "m", "push_to_hub": True})
    assert written.secrets == {"hub_token": "hf_abc123"}
    for text in (written.command(), written.shown(), written.as_yaml(), written.as_shell(), repr(written.values)):
        assert "hf_abc123" not in text
    assert "--hub_token" in written.shown() and yaml.safe_load(written.as_yaml()) == {"model": "m", "push_to_hub": True}


def test_presets_are_options_that_their_jobs_take():
    """Each one prepares: no unknown option, no refused combination."""
    for job, presets in TASKS.items():
        assert all(key in form_of(job, values).fields() for values in presets.values() for key in values)
    for values in MEMORY.values():
        assert all(key in form_of("sft", values).fields() for key in values)
    for job, first in ((job, FIRST[GROUP.get(job, job)]) for job in JOBS):
        assert {*first} <= {*form_of(job, {"trainer": "sft"}).fields()} | {"learning_rate"}, job


def test_a_job_file_of_another_tab_is_refused_and_other_words_are_understood():
    draft = Draft("train", "sft")
    draft.load("swift rlhf --rlhf_type dpo \\\n  --train_type full", ("sft", "rlhf"))
    assert draft.job == "rlhf" and draft.raw == {"trainer": "dpo", "tuner": "full"}
    assert draft.written().values == {"tuner": ["full"]}
    with pytest.raises(SwiftError, match="job file of swift deploy"):
        draft.load("# swift deploy\nport: 8001\n", ("sft",))
    for broken in ("- a\n- b\n", "a: [", "swift", "swift nonsense --x 1", "swift sft 'unclosed"):
        with pytest.raises(SwiftError):
            draft.load(broken, ("sft",))


def test_a_script_is_read_as_a_shell_reads_it():
    script = """#!/bin/sh
# a comment
swift sft --model 'a # b' \\
  --dataset rows.jsonl#500 other\\ file \\
  --system 'line one
# no comment \\
end' --output_dir "q \\"# z\\"" # a comment
#
"""
    system = "line one\n# no comment \\\nend"
    wanted = {"model": "a # b", "dataset": ["rows.jsonl#500", "other file"], "system": system, "output_dir": 'q "# z"'}
    assert read_command(script).values == wanted


def test_options_of_two_components_with_one_name_are_told_apart_as_the_kernel_does(tmp_path):
    form = form_of("rlhf", {"reward": ["accuracy", "format"]})
    keys = [key for key in form.fields() if "." in key]
    assert all(key.partition(".")[0] for key in keys)
    with pytest.raises(SwiftError) as error:
        prepare("rlhf", [])
    assert "no option" not in str(error.value)


RECIPES = [(row["job"], row["name"]) for row in quick.known("rows") if row["kind"] == "recipe"]


@pytest.mark.parametrize(("job", "name"), RECIPES)
def test_a_recipe_in_the_form_is_the_same_job(job, name):
    """Its values as the form writes them, defaults left out, make the options that the recipe itself makes."""
    recipe = Catalogue.installed().find("recipe", name).load()
    draft = Draft("any", "sft", {"max_length": "7"}, devices=["1"])
    draft.begin(recipe, (job,))
    said = {given.key: given.value for given in given_of(recipe)}
    assert draft.devices == ["1"] and not {*draft.raw} - {*draft.form().fields()}
    assert _prepared(recipe, read_command(draft.written().command()).values) == _prepared(recipe, said)
    assert draft.departs(draft.written().values) == []
    draft.take("output_dir", "elsewhere")
    assert draft.departs(draft.written().values) == ["output_dir"]


def _prepared(recipe, values):
    """All options of a job and of its components, once its user has said what only they know."""
    values = values | dict.fromkeys(recipe.needs, bare_model())
    job = prepare(recipe.job, [Given(key, value, "test") for key, value in values.items()])
    components = [
        (
            item.kind,
            item.label,
            {name: getattr(item.component, name) for name in fields_of(type(item.component))},
        )
        for item in job.selected
        if is_dataclass(item.component) and item.kind not in NO_FORM
    ]
    return job.options, components


def test_what_is_drawn_holds_no_field_twice():
    """The first fields and a group, or what is found; then how a step is shared, where that is not found already."""
    form = form_of("sft", {})
    for search, group in (("", ""), ("", "tuner lora"), ("deepspeed", ""), ("size", "")):
        parts = form.parts(search, group, spreads=True)
        keys = [field.key for part in parts for field in part.fields]
        assert len(keys) == len({*keys}) and {"deepspeed", "launcher"} <= {*keys}
        assert ("tuner" in keys) is not bool(search) and ("lora_alpha" in keys) is (group == "tuner lora")
    assert [part.title for part in form.parts()] == [""] and form.parts("no such words") == []
    assert sum(len(part.fields) for part in form.parts("a")) == MOST_FOUND
