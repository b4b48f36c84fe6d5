"""Rows with tools through the template: what is written, what is trained, and with which weight."""

import json
from importlib import resources

import pytest
import torch
from swift_testing.tiny import CHATML_TOKENS, SAMPLE_TEXTS, build_tokenizer
from transformers import AutoModelForCausalLM

from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.templates.encode import IGNORED, encode_spans
from swift_core.templates.render import Span, spans_of

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "City"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CALLS = [
    {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}},
    {"name": "get_weather", "arguments": {"city": "Rome", "days": 1}},
]
MESSAGES = [
    {"role": "system", "content": "You are helpful."},
    {"role": "user", "content": "Where is it warmer?"},
    {"role": "assistant", "content": "", "tool_calls": CALLS},
    {"role": "tool", "content": '{"temp": 20}'},
    {"role": "tool", "content": '{"temp": 25}'},
    {"role": "assistant", "content": "Final Answer: Rome."},
]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(SAMPLE_TEXTS, CHATML_TOKENS)


def job_for(folder, agent, loss_scale="default", **options):
    given = {"model": folder, "template": "qwen2_5", "agent": agent, "loss_scale": loss_scale, **options}
    return prepare("sft", [Given(k, v, "test") for k, v in given.items()])


def row_of(messages=MESSAGES, **columns):
    return to_row({"messages": json.loads(json.dumps(messages)), "tools": [TOOL], **columns})


def written(job, row, tokenizer, generation=False):
    return "".join(span.text for span in spans_of(job, row, tokenizer, generation))


def weighed(job, row, tokenizer):
    """The row's text as (weight, text) of runs of tokens with one weight."""
    encoded = encode_spans(tokenizer, [spans_of(job, row, tokenizer)])[0]
    weights = encoded.get("loss_scale") or [float(label != IGNORED) for label in encoded["labels"]]
    runs = []
    for token, weight in zip(encoded["input_ids"], weights, strict=True):
        if not runs or runs[-1][0] != weight:
            runs.append((weight, []))
        runs[-1][1].append(token)
    return [(weight, tokenizer.decode(ids)) for weight, ids in runs]


REACT = """<|im_start|>system
You are helpful.

Answer the following questions as best you can. You have access to the following tools:

get_weather: Call this tool to interact with the get_weather API. What is the get_weather API useful for? Get weather \
Parameters: {"type": "object", "properties": {"city": {"type": "string", "description": "City"}, "days": {"type": \
"integer"}}, "required": ["city"]} Format the arguments as a JSON object.

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [get_weather]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!
<|im_end|>
<|im_start|>user
Where is it warmer?<|im_end|>
<|im_start|>assistant
Action: get_weather
Action Input: {"city": "Paris", "days": 2}
Action: get_weather
Action Input: {"city": "Rome", "days": 1}
Observation:{"temp": 20}
Observation:{"temp": 25}
Final Answer: Rome.<|im_end|>
"""


def test_react_is_written_inside_one_turn(qwen2, tokenizer):
    job = job_for(qwen2, "react")
    assert written(job, row_of(), tokenizer) == REACT


def test_react_trains_what_the_assistant_says_and_no_result(qwen2, tokenizer):
    *_, call, results, answer, end = weighed(job_for(qwen2, "react"), row_of(), tokenizer)
    assert call == (1.0, REACT[REACT.index("Action: get_weather\n") : REACT.index('{"temp": 20}')])
    assert results == (0.0, '{"temp": 20}\nObservation:{"temp": 25}\n')
    assert answer == (1.0, "Final Answer: Rome.<|im_end|>")
    assert end == (0.0, "\n")


def test_hermes_is_written_as_the_models_own_template_writes_it(qwen2, tokenizer):
    official = resources.files("trl").joinpath("chat_templates", "qwen2_5.jinja").read_text()
    talkative = [*MESSAGES[:2], {**MESSAGES[2], "content": "Let me look."}, *MESSAGES[3:]]
    for messages in (MESSAGES, MESSAGES[1:], talkative):
        theirs = tokenizer.apply_chat_template(messages, tools=[TOOL], chat_template=official, tokenize=False)
        assert written(job_for(qwen2, "hermes"), row_of(messages), tokenizer) == theirs
        theirs = tokenizer.apply_chat_template(
            messages[:-1], tools=[TOOL], chat_template=official, tokenize=False, add_generation_prompt=True
        )
        assert written(job_for(qwen2, "hermes"), row_of(messages), tokenizer, generation=True) == theirs


def test_hermes_trains_what_the_assistant_says_and_no_result(qwen2, tokenizer):
    runs = weighed(job_for(qwen2, "hermes"), row_of(), tokenizer)
    trained = [text for weight, text in runs if weight]
    assert [weight for weight, _ in runs] == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert trained[0].startswith("<tool_call>\n") and trained[0].endswith("</tool_call><|im_end|>")
    assert trained[1] == "Final Answer: Rome.<|im_end|>"
    assert runs[2][1] == (
        '\n<|im_start|>user\n<tool_response>\n{"temp": 20}\n</tool_response>\n<tool_response>\n{"temp": 25}\n'
        "</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("agent", ["react", "hermes"])
def test_the_prompt_of_every_step_is_what_training_saw(qwen2, tokenizer, agent):
    job = job_for(qwen2, agent)
    trained = encode_spans(tokenizer, [spans_of(job, row_of(), tokenizer)])[0]["input_ids"]
    for upto in (2, 5):
        row = row_of(MESSAGES[:upto])
        prompt = encode_spans(tokenizer, [spans_of(job, row, tokenizer, generation=True)])[0]["input_ids"]
        assert trained[: len(prompt)] == prompt


def test_words_before_a_call_stand_on_their_own_line(qwen2, tokenizer):
    messages = [MESSAGES[1], {"role": "assistant", "content": "Thought: look", "tool_calls": CALLS[:1]}]
    text = written(job_for(qwen2, "react"), row_of(messages), tokenizer)
    assert "assistant\nThought: look\nAction: get_weather\n" in text


def test_tools_without_a_system_text_follow_the_templates_own(qwen2, tokenizer):
    text = written(job_for(qwen2, "hermes"), row_of(MESSAGES[1:]), tokenizer)
    assert "You are a helpful assistant.\n\n# Tools" in text


# -- loss scales --------------------------------------------------------------------------------------------
CALL_TEXT = [
    (1.0, "Action:"),
    (3.0, " get_weather\n"),
    (1.0, "Action Input:"),
    (3.0, ' {"city": "Paris", "days": 2}\n'),
    (1.0, "Action:"),
    (3.0, " get_weather\n"),
    (1.0, "Action Input:"),
    (3.0, ' {"city": "Rome", "days": 1}\n'),
    (2.0, "Observation:"),
    (0.0, '{"temp": 20}\nObservation:{"temp": 25}\n'),
    (1.0, "Final Answer: Rome.<|im_end|>"),
    (0.0, "\n"),
]


def test_table_14_reaches_exactly_the_tokens_of_its_texts(qwen2, tokenizer):
    runs = weighed(job_for(qwen2, "react", "agentflan"), row_of(), tokenizer)
    assert runs[1:] == CALL_TEXT


def test_the_hermes_scale_doubles_the_call_alone(qwen2, tokenizer):
    messages = [*MESSAGES[:2], {**MESSAGES[2], "content": "Look."}, *MESSAGES[3:]]
    runs = weighed(job_for(qwen2, "hermes", "hermes"), row_of(messages), tokenizer)
    doubled = [text for weight, text in runs if weight == 2.0]
    assert [t.replace("\n", "")[:18] for t in doubled] == ['<tool_call>{"name"'] * 2
    assert [text for weight, text in runs if weight == 1.0] == [
        "Look.\n",
        "\n",
        "<|im_end|>",
        "Final Answer: Rome.<|im_end|>",
    ]


def test_a_question_of_table_14_weighs_its_whole_answer(qwen2, tokenizer):
    messages = [
        {"role": "user", "content": "What is the tool you want to use?"},
        {"role": "assistant", "content": "find"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because."},
    ]
    job = job_for(qwen2, "react", "agentflan", template="chatml")
    runs = weighed(job, to_row({"messages": messages}), tokenizer)
    assert [run for run in runs if run[0]] == [(3.0, "find"), (1.0, "<|im_end|>"), (1.0, "Because.<|im_end|>")]


def test_the_last_round_of_react_is_the_whole_last_turn(qwen2, tokenizer):
    earlier = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Final Answer: hello"}]
    row = row_of([MESSAGES[0], *earlier, *MESSAGES[1:]])
    trained = [text for w, text in weighed(job_for(qwen2, "react", "last_round"), row, tokenizer) if w]
    assert trained[0].startswith("Action: get_weather") and trained[1:] == ["Final Answer: Rome.<|im_end|>"]
    trained = [text for w, text in weighed(job_for(qwen2, "hermes", "last_round"), row, tokenizer) if w]
    assert trained == ["Final Answer: Rome.<|im_end|>"]


def test_weights_of_a_message_multiply_those_of_the_table(qwen2, tokenizer):
    messages = [*MESSAGES[:-1], {**MESSAGES[-1], "loss_scale": 0.5}]
    runs = weighed(job_for(qwen2, "react", "react"), row_of(messages), tokenizer)
    assert (0.5, "Final Answer: Rome.") in runs
    silent = [*MESSAGES[:2], {**MESSAGES[2], "loss": False}, *MESSAGES[3:]]
    runs = weighed(job_for(qwen2, "react", "react"), row_of(silent), tokenizer)
    assert [run for run in runs if run[0]] == [(1.0, "Final Answer: Rome.<|im_end|>")]


def joined_tokenizer():
    """A tokenizer with tokens that reach over borders: `: a` is one of them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {c: n for n, c in enumerate(sorted(set("abcdefghijklmnopqrstuvwxyz: AO")))}
    vocab |= {": ": len(vocab), ": a": len(vocab) + 1}
    raw = Tokenizer(models.BPE(vocab, [(":", " "), (": ", "a")]))
    raw.pre_tokenizer = pre_tokenizers.Split("|", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=raw)


def test_a_token_over_a_border_takes_the_larger_weight():
    tokenizer = joined_tokenizer()
    for weights in ((1.0, 3.0), (3.0, 1.0), (0.0, 2.0), (2.0, 0.0)):
        spans = [Span("Ask: "), Span("xb:", weights[0], True), Span(" ab", weights[1], True)]
        row = encode_spans(tokenizer, [spans])[0]
        assert tokenizer.convert_ids_to_tokens(row["input_ids"])[-4:] == ["x", "b", ": a", "b"]
        assert row["loss_scale"][-4:] == [weights[0], weights[0], max(weights), weights[1]]


def test_a_token_never_reaches_from_the_prompt_into_an_answer():
    tokenizer = joined_tokenizer()
    prompt = encode_spans(tokenizer, [[Span("Ask:")]])[0]["input_ids"]
    row = encode_spans(tokenizer, [[Span("Ask:"), Span(" ab: ", 1.0, True), Span("ab", 3.0, True)]])[0]
    assert row["input_ids"][: len(prompt)] == prompt
    assert tokenizer.convert_ids_to_tokens(row["input_ids"]) == ["A", "s", "k", ":", " ", "a", "b", ": a", "b"]
    assert row["loss_scale"] == [0, 0, 0, 0, 1, 1, 1, 3, 3]


# -- the loss ----------------------------------------------------------------------------------------------
def test_weights_count_alike_padded_packed_and_alone(qwen2, tokenizer, tmp_path):
    from swift_plugin_runtime.batching.collate import flat_batch, pad_batch
    from swift_plugin_runtime.training.trainer import token_losses

    job = job_for(qwen2, "react", "agentflan")
    plain = to_row({"query": "Hello", "response": "Final Answer: hello."})
    rows = [encode_spans(tokenizer, [spans_of(job, r, tokenizer)])[0] for r in (row_of(), plain, row_of(MESSAGES[:3]))]
    assert ["loss_scale" in row for row in rows] == [True, False, True]
    model = AutoModelForCausalLM.from_pretrained(qwen2)

    def loss(batch):
        batch = dict(batch)
        labels, scale = batch.pop("labels"), batch.pop("loss_scale", None)
        losses, _ = token_losses(model, batch, labels)
        kept = labels[:, 1:] != IGNORED
        return (losses * (scale[:, 1:][kept] if scale is not None else 1.0)).sum()

    with torch.no_grad():
        alone = torch.stack([loss(pad_batch([row], 0)) for row in rows]).sum()
        unweighted = torch.stack(
            [loss(pad_batch([{k: v for k, v in row.items() if k != "loss_scale"}], 0)) for row in rows]
        ).sum()
        assert loss(pad_batch(rows, 0)) == pytest.approx(alone.item(), rel=1e-4)
        assert loss(flat_batch(rows)) == pytest.approx(alone.item(), rel=1e-4)
    assert alone > 1.5 * unweighted
