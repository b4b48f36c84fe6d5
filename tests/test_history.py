"""Conversations that clients send back, in any order of turns: as templates write them, or refuse them by name."""

import json

import pytest
from swift_plugin_serving.history import MALFORMED, arguments_of, with_sound_calls
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.contract.engine import Request
from swift_core.inference.conversation import askable
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_processor
from swift_core.templates.render import spans_of


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ('{"a": Paris}', {MALFORMED: '{"a": Paris}'}),
        ('{"a": 1', {MALFORMED: '{"a": 1'}),
        ('["a"]', {MALFORMED: '["a"]'}),
        ('{"a": NaN}', {MALFORMED: '{"a": NaN}'}),
        ("[" * 100_000, {MALFORMED: "[" * 100_000}),
    ],
)
def test_arguments_that_a_model_wrote(text, arguments):
    assert arguments_of(text) == arguments


def test_only_calls_are_mended():
    call = {"type": "function", "function": {"name": "f", "arguments": "{"}}
    odd = [{"role": "assistant", "tool_calls": c} for c in (None, "x", [None, 5, {}, {"function": 3}])]
    assert with_sound_calls([*odd, {"role": "user", "content": "{"}]) == [*odd, {"role": "user", "content": "{"}]
    (mended,) = with_sound_calls([{"role": "assistant", "tool_calls": [call]}])
    assert mended["tool_calls"][0]["function"]["arguments"] == {MALFORMED: "{"}
    assert call["function"]["arguments"] == "{"


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """Writes turns as a template does: the prompt's text."""
    model = tiny_qwen2(tmp_path_factory.mktemp("history"))

    def write(template, *turns):
        job = prepare("infer", [Given("model", model, "t"), Given("template", template, "t")])
        processor = load_processor(job, model, job.hook.load_config(job=job, path=model))
        row = askable(Request.of([{"role": r, "content": c} for r, c in turns], where="messages"))
        return "".join(s.text for s in spans_of(job, row, processor, generation=True))

    return write


def test_templates_whose_turns_name_their_role_take_any_order(writer):
    assert writer("llama3", ("user", "a"), ("user", "b"), ("system", "c"), ("assistant", "d")) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\na<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nb<|eot_id|>"
        "<|start_header_id|>system<|end_header_id|>\n\nc<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nd<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


@pytest.mark.parametrize(
    ("template", "turns", "words"),
    [
        ("gemma", [("user", "a"), ("system", "b")], "'gemma' has no place for a system message in the middle"),
        ("mistral_nemo", [("user", "a"), ("user", "b")], "two user messages in a row"),
        ("mistral_nemo", [("user", "a"), ("assistant", "b"), ("assistant", "c")], "two assistant messages in a row"),
    ],
)
def test_templates_that_have_no_words_for_an_order_say_so(writer, template, turns, words):
    with pytest.raises(SwiftError, match=words):
        writer(template, *turns)


def test_a_template_of_jinja_has_its_own_rules(tmp_path):
    """vLLM gives every order to the checkpoint's chat template, and so does `--template own`."""
    tiny_qwen2(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    text = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": text}))
    job = prepare("infer", [Given("model", str(tmp_path), "t"), Given("template", "own", "t")])
    processor = load_processor(job, str(tmp_path), job.hook.load_config(job=job, path=str(tmp_path)))

    def write(*turns):
        row = askable(Request.of([{"role": r, "content": c} for r, c in turns], where="messages"))
        return "".join(s.text for s in spans_of(job, row, processor, generation=True))

    assert write(("user", "a"), ("assistant", "b")).endswith("b<|im_end|>\n<|im_start|>assistant\n")
    with pytest.raises(SwiftError, match="roles must alternate"):
        write(("user", "a"), ("user", "b"))
