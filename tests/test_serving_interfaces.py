"""The other interfaces of a server: responses, Anthropic's messages, tokens, metrics, thoughts; with their clients.

The engine says what the question tells it to say, so that each form is seen whole; it writes prompts with a real job.
"""

import json

import httpx
import openai
import pytest
from serving_engines import Echo, served
from swift_plugin_serving.thoughts import Marks
from swift_testing.tiny import tiny_qwen2

from swift_core.contract.engine import Reply
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_processor
from swift_core.templates.render import spans_of

TOOL = {"name": "weather", "description": "Of a city.", "parameters": {"type": "object", "properties": {"city": {}}}}
CALL = {"name": "weather", "arguments": {"city": "a city with a rather long name"}}
CHAT = "/v1/chat/completions"


class Actor(Echo):
    """Says the last message as an answer of its own; with tools it calls them. Prompts are Qwen3's."""

    def __init__(self, job, tokenizer):
        super().__init__()
        self.job, self.tokenizer, self.window, self.seen = job, tokenizer, 4096, []

    def prepared(self, request):
        return request

    def _say(self, place, request, listen):
        row = request.row
        self.seen.append(spans_of(self.job, row, self.tokenizer, generation=True)[-1].text)
        text = row.messages[-1]["content"]
        for start in range(0, len(text), 3):
            if not listen(place, text[start : start + 3]):
                break
        if row.tools and row.messages[-1]["role"] != "tool":
            said = f"{text}<tool_call>…</tool_call>"
            return Reply(said, "tool_calls", 7, 3, calls=[CALL, CALL], content=text)
        return Reply(text, "length" if "cut" in text else "stop", 7, 3)


@pytest.fixture(scope="module")
def actor(tmp_path_factory):
    """The engine."""
    model = tiny_qwen2(tmp_path_factory.mktemp("actor"))
    job = prepare("deploy", [Given("model", model, "t"), Given("template", "qwen3", "t")])
    return Actor(job, load_processor(job, model, job.hook.load_config(job=job, path=model)))


@pytest.fixture(scope="module")
def http(actor):
    """A client of its server."""
    with served(actor, api_key="sesame") as client:
        client.headers["authorization"] = "Bearer sesame"
        yield client


@pytest.fixture(scope="module")
def client(http):
    """OpenAI's own client."""
    return openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="sesame", max_retries=0, timeout=60)


# -- responses --------------------------------------------------------------------------------------------
def test_responses(client):
    done = client.responses.create(model="echo", input="Hello you", instructions="Be brief.", max_output_tokens=9)
    assert (done.output_text, done.status, done.usage.total_tokens) == ("Hello you", "completed", 10)
    cut = client.responses.create(model="echo", input=[{"role": "user", "content": "cut here"}])
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    part = {"role": "user", "content": [{"type": "input_text", "text": "in parts"}]}
    assert client.responses.create(model="echo", input=[part], reasoning={"effort": "none"}).output_text == "in parts"


def test_responses_with_tools(client):
    tools = [{"type": "function", **TOOL}]
    done = client.responses.create(model="echo", input="Look", tools=tools)
    assert [item.type for item in done.output] == ["message", "function_call", "function_call"]
    assert json.loads(done.output[1].arguments) == CALL["arguments"]
    call = done.output[1]
    back = [
        {"role": "user", "content": "Look"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": "{malformed"},
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    assert client.responses.create(model="echo", input=back, tools=tools).output_text == "rain"
    one = client.responses.create(model="echo", input="Look", tools=tools, parallel_tool_calls=False)
    assert [item.type for item in one.output] == ["message", "function_call"]


@pytest.mark.parametrize("tools", [[], [{"type": "function", **TOOL}]])
def test_responses_streamed(client, tools):
    with client.responses.stream(model="echo", input="<think>Well.</think>Hello you", tools=tools) as stream:
        events = list(stream)
        final = stream.get_final_response()
    said = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert (said, final.output_text, final.output[0].type) == ("Hello you", "Hello you", "reasoning")
    assert next(e.sequence_number for e in events if hasattr(e, "sequence_number")) == 0
    calls = [json.loads(item.arguments) for item in final.output if item.type == "function_call"]
    assert calls == ([CALL["arguments"]] * 2 if tools else [])
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert len(pieces) > len(calls) or not tools


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"input": [{"type": "computer_call"}]}, "computer_call"),
        ({"background": True}, "background"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_responses_that_cannot_be_given(http, told, words):
    answer = http.post("/v1/responses", json={"input": "a", **told})
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (400, True)


# -- Anthropic --------------------------------------------------------------------------------------------
def messages(http, text="Hello you", **more):
    body = {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": text}], **more}
    return http.post("/v1/messages", json=body)


def test_messages(http):
    done = messages(http, system=[{"type": "text", "text": "Be brief."}]).json()
    assert done["content"] == [{"type": "text", "text": "Hello you"}]
    assert (done["stop_reason"], done["usage"]) == ("end_turn", {"input_tokens": 7, "output_tokens": 3})
    assert messages(http, "cut").json()["stop_reason"] == "max_tokens"
    thought = messages(http, "<think>Well.</think>Hi").json()["content"]
    assert [block["type"] for block in thought] == ["thinking", "text"]


def test_messages_with_tools(http):
    tools = [{"name": "weather", "input_schema": TOOL["parameters"]}]
    done = messages(http, "Look", tools=tools).json()
    assert [b["type"] for b in done["content"]] == ["text", "tool_use", "tool_use"]
    assert (done["content"][1]["input"], done["stop_reason"]) == (CALL["arguments"], "tool_use")
    results = [{"type": "tool_result", "tool_use_id": b["id"], "content": "rain"} for b in done["content"][1:]]
    turns = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": done["content"]},
        {"role": "user", "content": results},
    ]
    assert messages(http, messages=turns, tools=tools).json()["content"] == [{"type": "text", "text": "rain"}]


def test_messages_streamed(http):
    tools = [{"name": "weather", "input_schema": TOOL["parameters"]}]
    for more, blocks in (({}, ["thinking", "text"]), ({"tools": tools}, ["thinking", "text", "tool_use", "tool_use"])):
        text = messages(http, "<think>Well.</think>Hi", stream=True, **more).text
        events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        names = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
        assert names == [event["type"] for event in events]
        started = [e["content_block"]["type"] for e in events if e["type"] == "content_block_start"]
        assert (started, [e["index"] for e in events if e["type"] == "content_block_stop"]) == (
            blocks,
            list(range(len(blocks))),
        )
        assert events[-1] == {"type": "message_stop"}
        written = "".join(e["delta"].get("partial_json", "") for e in events if e["type"] == "content_block_delta")
        assert written == json.dumps(CALL["arguments"]) * (2 if more else 0)


def test_messages_in_their_form_of_errors(http):
    for told, status, kind in (
        ({"model": "nobody"}, 404, "not_found_error"),
        ({"max_tokens": 0}, 400, "invalid_request_error"),
        ({"tool_choice": {"type": "any"}}, 400, "invalid_request_error"),
        ({"tool_choice": {"type": "tool"}, "tools": [{"name": "a", "input_schema": {}}]}, 400, "invalid_request_error"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, 400, "invalid_request_error"),
    ):
        answer = messages(http, **told)
        assert (answer.status_code, answer.json()["type"], answer.json()["error"]["type"]) == (status, "error", kind)


def test_the_client_of_anthropic(http):
    """Run by `make test-clients`, which installs it."""
    anthropic = pytest.importorskip("anthropic")
    client = anthropic.Anthropic(base_url=str(http.base_url), api_key="sesame", max_retries=0)
    said = {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello you"}]}
    assert client.messages.create(**said).content[0].text == "Hello you"
    tools = [{"name": "weather", "input_schema": TOOL["parameters"]}]
    with client.messages.stream(**said, tools=tools) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use", "tool_use"]
    assert (final.content[1].input, final.usage.input_tokens) == (CALL["arguments"], 7)
    with client.messages.stream(**said) as stream:
        assert "".join(stream.text_stream) == "Hello you"
    with pytest.raises(anthropic.NotFoundError, match="does not exist"):
        client.messages.create(**{**said, "model": "nobody"})
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=str(http.base_url), api_key="wrong", max_retries=0).messages.create(**said)


# -- thoughts ---------------------------------------------------------------------------------------------
OPEN = Marks("<think>", "</think>", opened=False)
OPENED = Marks("<think>", "</think>", opened=True)


@pytest.mark.parametrize(
    ("marks", "text", "thought", "words"),
    [
        (OPEN, "<think>\nWell, now.\n</think>\n\nHello  you \n", "Well, now.", "Hello  you \n"),
        (OPEN, "Hello <think> you", "", "Hello <think> you"),
        (OPEN, "<thin", "", "<thin"),
        (OPEN, " <think>cut", "cut", ""),
        (OPEN, "<think>a</thi b</think>c", "a</thi b", "c"),
        (OPEN, "<think></think>", "", ""),
        (OPENED, "Well.\n\nNow.\n</think>\n\nHello", "Well.\n\nNow.", "Hello"),
        (OPENED, "cut in the middle", "cut in the middle", ""),
        (OPENED, "a</think>b</think>c", "a", "b</think>c"),
    ],
)
def test_thoughts_are_taken_apart_in_any_pieces(marks, text, thought, words):
    reply = marks.apart(Reply(text))
    assert (reply.thought, reply.content) == (thought, words)
    for size in (1, 2, 5, 100):
        splitter = marks.splitter()
        pieces = [p for n in range(0, len(text), size) for p in splitter.add(text[n : n + size])] + splitter.end()
        assert "".join(t for kind, t in pieces if kind == "thought") == thought
        assert "".join(t for kind, t in pieces if kind == "text") == words
        assert all(text for _, text in pieces)


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_stand_by_themselves(client, stream):
    asked = [{"role": "user", "content": "<think>\nWell.\n</think>\n\nHello you"}]
    got = client.chat.completions.create(model="echo", messages=asked, stream=stream)
    if stream:
        deltas = [chunk.choices[0].delta for chunk in got]
        said = "".join(d.content or "" for d in deltas)
        thought = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
    else:
        said, thought = got.choices[0].message.content, got.choices[0].message.reasoning_content
    assert (said, thought) == ("Hello you", "Well.")


@pytest.mark.parametrize(
    ("told", "ends"),
    [
        ({}, "<|im_start|>assistant\n"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "assistant\n<think>\n\n</think>\n\n"),
        ({"chat_template_kwargs": {"thinking": False}}, "assistant\n<think>\n\n</think>\n\n"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "<|im_start|>assistant\n"),
        ({"reasoning_effort": "none"}, "assistant\n<think>\n\n</think>\n\n"),
        ({"reasoning_effort": "high"}, "<|im_start|>assistant\n"),
    ],
)
def test_whether_it_thinks(http, actor, told, ends):
    assert http.post(CHAT, json={"messages": [{"role": "user", "content": "a"}], **told}).status_code == 200
    assert actor.seen[-1].endswith(ends)


def test_other_switches_of_templates_are_refused(http):
    body = {"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": {"documents": []}}
    assert http.post(CHAT, json=body).json()["error"]["param"] == "chat_template_kwargs"


# -- tokens, numbers, models ------------------------------------------------------------------------------
def test_tokens_and_back(http, actor):
    done = http.post("/tokenize", json={"prompt": "hello you", "return_token_strs": True}).json()
    assert done["tokens"] == list(actor.tokenizer("hello you")["input_ids"])
    assert (done["count"], done["max_model_len"], len(done["token_strs"])) == (len(done["tokens"]), 4096, done["count"])
    assert http.post("/detokenize", json={"tokens": done["tokens"]}).json() == {"prompt": "hello you"}
    for path, body in (
        ("/tokenize", {}),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "b"}]}),
        ("/detokenize", {"tokens": [-1]}),
        ("/detokenize", {"tokens": [10**9]}),
        ("/detokenize", {"tokens": [2**40]}),
    ):
        assert http.post(path, json=body).status_code == 400


def test_metrics(http):
    before = numbers(http)
    messages(http)
    http.post(CHAT, json={"messages": [{"role": "user", "content": "a"}], "stream": True})
    http.post(CHAT, json={})
    http.get("/no/such/path/12345")
    after = numbers(http)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["swift_prompt_tokens_total"] == 14
    assert grown["swift_generation_tokens_total"] == 6
    assert grown['swift_requests_total{path="/v1/messages",status="200"}'] == 1
    assert grown[f'swift_requests_total{{path="{CHAT}",status="400"}}'] == 1
    assert grown['swift_requests_total{path="other",status="404"}'] == 1
    assert grown['swift_answers_total{finish_reason="stop"}'] == 2
    assert (after["swift_answers_running"], "12345" in str(after)) == (0, False)
    assert httpx.get(f"{http.base_url}/metrics").status_code == 401


def numbers(http):
    """What /metrics says: name with labels → value."""
    lines = [line for line in http.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_models_say_their_window(http):
    assert http.get("/v1/models").json()["data"][0]["max_model_len"] == 4096
    assert http.get("/v1/models/echo").json()["max_model_len"] == 4096
