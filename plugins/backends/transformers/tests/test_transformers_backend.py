"""The transformers backend against transformers itself: same answers, whatever shares the batch."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import threading
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from swift_plugin_runtime.inference import continuous
from swift_plugin_runtime.inference.sampler import Draw, Sampler
from swift_testing import BackendContract
from swift_testing.backends import start, user
from swift_testing.serving import LESSONS, WEATHER, random_lora, taught_qwen2
from swift_testing.tiny import tiny_qwen2_vl
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation import logits_process

from swift_core import SwiftError
from swift_core.contract.engine import Guide, InUse, Request
from swift_core.inference.ending import Ending, Writer

QUERIES = [row["query"] for row in LESSONS if "query" in row]
ANSWERS = [row["response"] for row in LESSONS if "query" in row]


class TestTransformers(BackendContract):
    name = "transformers"


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A tiny Qwen2 that knows LESSONS by heart."""
    return taught_qwen2(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def loras(taught, tmp_path_factory):
    """Two random LoRA folders by name."""
    folder = tmp_path_factory.mktemp("loras")
    return {name: random_lora(taught, folder / name, seed) for seed, name in enumerate(("one", "two"))}


@pytest.fixture(scope="module")
def engine(taught, loras):
    """The taught model with both adapters."""
    return start(ckpt_dir=taught, adapters=[f"{name}={folder}" for name, folder in loras.items()])


def expected(model, tokenizer, text, length=40):
    """What transformers alone answers: one greedy row, no padding."""
    prompt = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=length, do_sample=False)[0, ids.shape[1] :]
    return tokenizer.decode(out).split("<|im_end|>")[0]


def test_a_batch_of_unequal_rows_is_answered_as_each_row_alone(engine, taught):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(taught), AutoTokenizer.from_pretrained(taught)
    asked = [*QUERIES, "Something that was never taught, and which is longer than the rest?"]
    replies = engine.generate([user(q) for q in asked])
    assert [r.text for r in replies] == [expected(model, tokenizer, q) for q in asked]
    assert [r.text for r in replies[:4]] == ANSWERS
    assert all(r.finish_reason == "stop" for r in replies[:4])
    assert replies[0].prompt_tokens < replies[-1].prompt_tokens


def test_stream_joins_to_the_answer_and_never_cuts_a_character(engine):
    for query, answer in zip(QUERIES, ANSWERS, strict=True):
        pieces = list(engine.stream(user(query)))
        assert "".join(pieces) == answer
        assert len(pieces) > 1
        assert not any("\ufffd" in piece for piece in pieces)


def test_stream_returns_the_reply(engine):
    replies = []

    def collect():
        reply = yield from engine.stream(user(QUERIES[0]))
        replies.append(reply)

    assert "".join(collect()) == ANSWERS[0]
    assert replies == engine.generate([user(QUERIES[0])])


def test_stop_words_end_the_answer_and_are_never_shown(engine):
    request = user(QUERIES[0], stop=["like the", "never said"])
    assert engine.generate([request])[0].text == "Blue "
    assert "".join(engine.stream(request)) == "Blue "


def test_length_ends_the_answer(engine):
    reply = engine.generate([user(QUERIES[3]).drawn(max_new_tokens=3)])[0]
    assert (reply.finish_reason, reply.completion_tokens) == ("length", 3)
    assert ANSWERS[3].startswith(reply.text.rstrip("\ufffd"))


def test_rows_of_one_batch_keep_their_own_length_and_temperature(engine):
    hot = user(QUERIES[1], temperature=5.0, seed=1)
    replies = engine.generate([user(QUERIES[0]), hot, user(QUERIES[2]).drawn(max_new_tokens=2)])
    assert replies[0].text == ANSWERS[0]
    assert replies[1].text != ANSWERS[1]
    assert replies[2].completion_tokens == 2


def test_a_seed_gives_the_same_draw_in_any_company(engine):
    request = user("Tell me something.", temperature=1.5, top_p=0.95, top_k=200, seed=7)
    alone = engine.generate([request])[0].text
    company = [user(QUERIES[0], temperature=2.0), request, user(QUERIES[1])]
    assert engine.generate(company)[1].text == alone
    assert engine.generate([request.drawn(seed=8)])[0].text != alone


def test_a_tool_call_is_read(engine):
    question = {"role": "user", "content": "Weather in Paris?"}
    reply = engine.generate([Request.of([question], tools=[WEATHER], max_new_tokens=60)])[0]
    assert reply.finish_reason == "tool_calls"
    assert reply.calls == [{"name": "get_weather", "arguments": {"city": "Paris"}}]
    assert reply.content == "I look."
    answered = [question, {"role": "assistant", "content": "I look.\n", "tool_calls": reply.calls}]
    last = Request.of([*answered, {"role": "tool", "content": "rain"}], tools=[WEATHER])
    assert engine.generate([last])[0].text == "It rains."


def test_react_stops_where_the_model_would_invent_the_result(taught):
    react = start(ckpt_dir=taught, agent="react")
    from swift_core.inference.ending import stops_of

    assert stops_of(react.job, Request.of([], tools=[WEATHER], stop=["x"])) == ["x", "Observation:"]
    assert stops_of(react.job, Request.of([])) == []


def test_adapters_by_name_in_one_batch(engine, taught, loras):
    from peft import PeftModel

    tokenizer = AutoTokenizer.from_pretrained(taught)
    names = [None, "one", "two", "one"]
    got = [r.text for r in engine.generate([user(QUERIES[0], adapter=name) for name in names])]
    assert engine.adapters.groups([user("", adapter=name) for name in names]) == [[0, 1, 2, 3]]
    for name, text in zip(names, got, strict=True):
        model = AutoModelForCausalLM.from_pretrained(taught)
        model = PeftModel.from_pretrained(model, loras[name]) if name else model
        assert text == expected(model, tokenizer, QUERIES[0])
    assert len(set(got)) == 3
    assert [engine.generate([user(QUERIES[0], adapter=name)])[0].text for name in names] == got


def test_the_base_model_is_named_first(engine, taught):
    assert engine.models == [Path(taught).name, "one", "two"]


def test_merged_adapter_answers_as_the_adapter(engine, taught, loras):
    merged = start(ckpt_dir=taught, adapters=[loras["one"]], merge_lora=True)
    assert len(merged.models) == 1
    assert merged.generate([user(QUERIES[0])])[0].text == engine.generate([user(QUERIES[0], adapter="one")])[0].text


def test_raw_prompts_go_on_without_a_template(engine):
    text = "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\nHello"
    ids = engine.tokenizer(text)["input_ids"]
    replies = engine.generate([Request.of(prompt=text), Request.of(prompt=ids)])
    assert [r.text for r in replies] == [", world!", ", world!"]


def test_the_listener_ends_an_answer(engine):
    heard = {0: "", 1: ""}

    def listen(place, piece):
        heard[place] += piece
        return place == 1

    replies = engine.generate([user(QUERIES[0]), user(QUERIES[1])], listen)
    assert [replies[0].text, replies[1].text] == [heard[0], ANSWERS[1]]
    assert ANSWERS[0].startswith(heard[0])
    assert len(heard[0]) < len(ANSWERS[0])


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (user("hi", adapter="three"), "no adapter 'three'. Loaded are: one, two"),
        (Request.of(prompt=""), "the prompt is empty"),
        (Request.of(prompt=[5] * 5000), "has 5000 tokens, but prompt and answer together may have 4096"),
        (Request.of([{"role": "user", "content": ["me"]}]), "the content must be text"),
        (Request.of([{"role": "king", "content": "me"}]), "unknown role 'king'"),
        (Request.of([]), "no messages"),
        (user("<image>", images=["x.png"]), "reads no image"),
    ],
)
def test_what_cannot_be_asked_is_said(engine, request_, words):
    with pytest.raises(SwiftError, match=words.replace(".", r"\.")):
        engine.generate([user("hi"), request_])


def test_the_answer_ends_at_the_window(taught):
    small = start(ckpt_dir=taught, max_length=24)
    reply = small.generate([user("Something else.", temperature=3.0, seed=0)])[0]
    assert reply.prompt_tokens + reply.completion_tokens <= 24


def test_two_adapters_of_one_name_are_refused(taught, loras):
    with pytest.raises(SwiftError, match="Two adapters are called 'a'"):
        start(ckpt_dir=taught, adapters=[f"a={folder}" for folder in loras.values()])


def test_no_pad_token_and_a_checkpoint_with_wild_settings_change_nothing(taught, tmp_path):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(taught), AutoTokenizer.from_pretrained(taught)
    tokenizer.pad_token = None
    model.generation_config.update(do_sample=True, temperature=9.0, top_k=3, repetition_penalty=9.0, max_length=5)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    replies = start(model=str(tmp_path), template="chatml").generate([user(q) for q in QUERIES])
    assert [r.text for r in replies] == ANSWERS


def test_images_and_texts_share_a_batch(tmp_path):
    from PIL import Image

    vl = start(model=tiny_qwen2_vl(tmp_path), torch_dtype="float32")
    picture = [Image.new("RGB", (56, 56), colour) for colour in ("white", "black")]
    requests = [user("<image>What is it?", images=[p]) for p in picture] + [user("Hello")]
    together = vl.generate(requests)
    assert [r.text for r in together] == [vl.generate([r])[0].text for r in requests]
    assert together[0].prompt_tokens > together[2].prompt_tokens
    assert "".join(vl.stream(requests[0])) == together[0].text


# -- the parts by themselves ------------------------------------------------------------------------------
def draws(request, scores, n):
    """Shares in which n seeds draw each token."""
    each = [Draw.of(request.drawn(seed=seed), scores.device) for seed in range(n)]
    chosen = Sampler(each, [0] * n)(torch.zeros(n, 1, dtype=torch.long), scores.repeat(n, 1))
    return torch.bincount(chosen.argmax(-1), minlength=len(scores)) / n


def test_draws_follow_the_softmax():
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0])
    shares = draws(Request.of([], temperature=0.7), scores, 4000)
    assert torch.allclose(shares, (scores / 0.7).softmax(-1), atol=0.03)


def test_the_nucleus_is_transformers():
    torch.manual_seed(0)
    scores = torch.randn(50)
    ids = torch.zeros(1, 1, dtype=torch.long)
    theirs = logits_process.TopKLogitsWarper(top_k=9)(ids, scores[None])
    theirs = logits_process.TopPLogitsWarper(top_p=0.6)(ids, theirs)[0]
    shares = draws(Request.of([], temperature=1.0, top_k=9, top_p=0.6), scores, 600)
    assert set(shares.nonzero().flatten().tolist()) == set(theirs.isfinite().nonzero().flatten().tolist())


def test_the_penalty_is_transformers_and_leaves_padding_out():
    scores, ids = torch.tensor([[1.0, -1.0, 0.5, 0.2]]), torch.tensor([[3, 3, 0, 1]])
    theirs = logits_process.RepetitionPenaltyLogitsProcessor(penalty=2.0)(ids[:, 2:], scores)
    ours = Sampler([Draw.of(Request.of([], repetition_penalty=2.0), scores.device)], [2])(ids, scores.clone())
    assert torch.equal(ours, theirs)


def test_penalties_of_openai_count_the_answer_alone():
    scores, said = torch.tensor([[1.0, -1.0, 0.5, 0.2]]), [3, 3, 1]
    request = Request.of([], presence_penalty=0.5, frequency_penalty=0.25, min_new_tokens=4)
    ours = Sampler([Draw.of(request, scores.device, said, ends=[2])], [0])(
        torch.tensor([[0, 0, 3, 3, 1]]), scores.clone()
    )
    assert ours.tolist() == [[1.0, -1.75, -torch.inf, pytest.approx(0.2 - 1.0)]]


TEXT = "a<b>c€😀 <|end|>好STOP".encode()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(range(len(TEXT))), max_size=30), st.lists(st.sampled_from(["<b>", "ab", "€😀", "OP"])))
def test_pieces_join_to_the_text_whatever_the_bytes(places, stops):
    def decode(ids):
        return bytes(ids).decode("utf-8", errors="replace")

    tokens = [TEXT[place] for place in places] + [255]
    writer = Writer(decode, decode, Ending((255,), tuple(stops)), limit=100)
    given_out = ""
    for token in tokens:
        if not writer.reason:
            writer.add(token)
            given_out += writer.piece()
            assert not any(stop in given_out for stop in stops)
    whole = decode(tokens[:-1])
    cut = min((whole.find(stop) for stop in stops if stop in whole), default=len(whole))
    assert given_out == writer.text == whole[:cut]


# -- admission between tokens -----------------------------------------------------------------------------
LONG = "Something that was never taught, and which goes on and on?"


class Calls:
    """How often the model was called, and how many tokens went into each call."""

    def __init__(self, engine, monkeypatch):
        self.sizes = []
        model = engine.model
        forward = type(model).forward

        def counted(this, *positional, **named):
            if this is model:
                self.sizes.append(named["input_ids"].numel())
            return forward(this, *positional, **named)

        monkeypatch.setattr(type(model), "forward", counted)


def test_a_short_request_beside_a_long_one_waits_for_no_token_of_it(engine, monkeypatch):
    """Counted in calls of the model: one for its prompt and one for each further token, however long the other is."""
    calls = Calls(engine, monkeypatch)
    asked, started = [], threading.Event()
    long = user(LONG, temperature=3.0, seed=4).drawn(max_new_tokens=300)
    other = engine.submit(long, lambda _: asked.append(len(calls.sizes)) or started.set() or True)
    assert started.wait(60)
    short = user(QUERIES[3]).drawn(max_new_tokens=4)
    before = len(calls.sizes)
    reply = engine.submit(short).result(60)
    after = len(calls.sizes)
    assert reply.completion_tokens == 4 and ANSWERS[3].startswith(reply.text.rstrip("\ufffd"))
    assert after - before <= 4 + 8  # eight: what may happen between counting and asking
    assert not other.done()
    other.cancel()


def test_a_cancelled_answer_makes_room_at_once(taught):
    engine = start(ckpt_dir=taught, max_batch_size=1)
    started = threading.Event()
    endless = user(LONG, temperature=3.0, seed=4).drawn(max_new_tokens=2000)
    future = engine.submit(endless, lambda _: started.set() or True)
    waiting = engine.submit(user(QUERIES[0]))
    assert started.wait(60) and not waiting.done()
    assert future.cancel()
    assert waiting.result(60).text == ANSWERS[0]
    stream = engine.stream(endless)
    assert next(stream)
    stream.close()
    assert engine.generate([user(QUERIES[1])])[0].text == ANSWERS[1]


def test_what_fails_fails_alone(engine):
    """A listener that breaks, and a model that breaks over one request's tokens."""

    def broken(_):
        raise RuntimeError("no ears")

    def refuse(_, args, kwargs):
        if rare in kwargs["input_ids"]:
            raise RuntimeError("no such token")

    rare = next(i for i in range(200, 300) if not any(i in engine.tokenizer(t)["input_ids"] for t in QUERIES + ANSWERS))
    hook = engine.model.register_forward_pre_hook(refuse, with_kwargs=True)
    futures = [engine.submit(user(query)) for query in QUERIES]
    deaf = engine.submit(user(QUERIES[0]), broken)
    poison = engine.submit(Request.of(prompt=[5, rare, 6]))
    assert [future.result(60).text for future in futures] == ANSWERS
    with pytest.raises(RuntimeError, match="no ears"):
        deaf.result(60)
    with pytest.raises(RuntimeError, match="no such token"):
        poison.result(60)
    hook.remove()
    with pytest.raises(SwiftError, match="knows token ids from 0 to 583, not 99999"):
        engine.submit(Request.of(prompt=[5, 99999])).result()


def test_a_prompt_in_pieces_is_answered_as_whole(engine, monkeypatch):
    monkeypatch.setattr(continuous, "CHUNK", 7)
    calls = Calls(engine, monkeypatch)
    replies = engine.generate([user(q, adapter=name) for q in QUERIES for name in (None, "one")])
    assert [r.text for r in replies[::2]] == ANSWERS
    assert max(calls.sizes) <= 7 + 8
    monkeypatch.undo()
    assert replies[1::2] == [engine.generate([user(q, adapter="one")])[0] for q in QUERIES]


def test_a_common_beginning_is_taken_in_once_for_each_adapter(taught, loras, monkeypatch):
    """Counted in tokens that the model was given."""
    engine = start(ckpt_dir=taught, adapters=[f"one={loras['one']}"])
    row = {"role": "system", "content": "You are a helpful assistant. " * 20}

    def asked(text, **more):
        return Request.of([row, {"role": "user", "content": text}], max_new_tokens=2, **more)

    calls = Calls(engine, monkeypatch)
    group = engine.generate([asked("What is 2+2?", temperature=1.0, seed=seed) for seed in range(6)])
    length, total = group[0].prompt_tokens, sum(calls.sizes)
    assert length + 6 <= total <= length + 6 * 3
    assert engine.generate([asked("What is 2+2?", temperature=1.0, seed=3)])[0] == group[3]
    assert sum(calls.sizes) - total <= 3
    total = sum(calls.sizes)
    other = engine.generate([asked("What is 2+2?", adapter="one")])[0]
    assert sum(calls.sizes) - total >= length  # another adapter has other keys and values
    engine.forget()
    assert engine.generate([asked("What is 2+2?", adapter="one")])[0] == other


def test_adapters_that_do_not_mix_take_turns_and_it_is_said(taught, loras, tmp_path, capsys):
    import peft

    model = AutoModelForCausalLM.from_pretrained(taught)
    torch.manual_seed(3)
    config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, use_dora=True)
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "dora")
    engine = start(ckpt_dir=taught, adapters=[f"one={loras['one']}", f"dora={tmp_path / 'dora'}"])
    assert engine.continuous and not engine.adapters.mix_tokens
    line = "requests for different adapters take turns: these adapters do not mix in one call."
    assert line in capsys.readouterr().err
    names = [None, "dora", "one", "dora"]
    together = [r.text for r in engine.generate([user(QUERIES[0], adapter=name) for name in names])]
    assert together == [engine.generate([user(QUERIES[0], adapter=name)])[0].text for name in names]
    assert together[0] == ANSWERS[0] and together[1] == together[3] and len(set(together)) == 3
    start(ckpt_dir=taught, adapters=[f"{name}={folder}" for name, folder in loras.items()])
    assert "take turns" not in capsys.readouterr().err


def test_adapters_come_and_go_between_tokens(taught, loras, engine, tmp_path):
    fresh = start(ckpt_dir=taught)
    long = user(LONG, temperature=3.0, seed=4).drawn(max_new_tokens=150)
    alone = fresh.generate([long])[0].text
    running = fresh.submit(long)
    for name, folder in loras.items():
        fresh.load_adapter(name, folder)
        with pytest.raises(SwiftError, match="already"):
            fresh.load_adapter(name, folder)
    assert fresh.models == engine.models and fresh.adapters.mix_tokens
    assert running.result(60).text == alone, "an answer under way goes on as it was"
    asked = [user(QUERIES[0], adapter=name) for name in (None, "one", "two")]
    assert [r.text for r in fresh.generate(asked)] == [r.text for r in engine.generate(asked)]
    running = fresh.submit(long.drawn(max_new_tokens=100), None)
    used = fresh.submit(dataclasses.replace(long, adapter="one"))
    with pytest.raises(InUse, match="'one' is answering"):
        fresh.unload_adapter("one")
    used.cancel()
    fresh.unload_adapter("two")
    running.cancel()
    fresh.unload_adapter("one")
    assert fresh.models == engine.models[:1]
    assert fresh.generate([user(QUERIES[0])])[0].text == ANSWERS[0]
    with pytest.raises(SwiftError, match="no adapter 'one'"):
        fresh.unload_adapter("one")
    fresh.load_adapter("one", loras["two"])  # the same name, other weights: nothing of the old ones is left
    assert fresh.generate([asked[1]])[0].text == engine.generate([asked[2]])[0].text
    Path(tmp_path, "adapter_config.json").write_text('{"peft_type": "LORA", "use_dora": true, "r": 4}')
    for name, folder, words in (("d", tmp_path, "no plain LoRA"), ("a.b", loras["one"], "can be called")):
        with pytest.raises(SwiftError, match=words):
            fresh.load_adapter(name, str(folder))
    fresh.close()


def test_what_cannot_be_admitted_is_answered_in_static_batches_and_said(tmp_path, capsys):
    from swift_testing.tiny import CHATML_TOKENS, SAMPLE_TEXTS, build_tokenizer
    from transformers import BloomConfig, BloomForCausalLM

    tokenizer = build_tokenizer(SAMPLE_TEXTS, CHATML_TOKENS)
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4, eos_token_id=0, bos_token_id=0)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = start(model=str(tmp_path), template="chatml")
    assert "answered in static batches, not admitted between tokens: BloomForCausalLM" in capsys.readouterr().err
    requests = [user(query).drawn(max_new_tokens=6) for query in QUERIES]
    together = engine.generate(requests)
    assert [r.ids for r in together] == [engine.submit(request).result(60).ids for request in requests]
    told = [r.drawn(logprobs=2, prompt_logprobs=1, max_new_tokens=n) for n, r in zip((6, 0, 6), requests, strict=False)]
    told[2] = told[2].drawn(guide=Guide("regex", "[ab]{4}"))
    replies = engine.generate([*told, requests[3]])
    assert replies[0].ids == together[0].ids and replies[3].ids == together[3].ids
    assert (len(replies[2].text), set(replies[2].text) <= {"a", "b"}, replies[1].tokens) == (4, True, [])
    for reply, request in zip(replies, told, strict=False):
        same_likelihoods(engine, engine.prepared(request).prompt["input_ids"], reply)


def same_likelihoods(engine, prompt, reply):
    """Whether a reply's likelihoods are those of the model over the whole text, each by itself."""
    ids = torch.tensor([[*prompt, *reply.ids]])
    with torch.no_grad():
        known = engine.model(input_ids=ids).logits[0].log_softmax(-1)
    tokens = [*reply.prompt, *reply.tokens]
    assert [token.id for token in tokens] == ids[0].tolist()
    assert tokens[0].logprob is None
    for place, token in enumerate(tokens[1:]):
        assert token.logprob == pytest.approx(float(known[place, token.id]), abs=1e-4)
        values, best = known[place].topk(len(token.top))
        assert [value for _, value in token.top] == pytest.approx(values.tolist(), abs=1e-4)
        assert token.top[0][0] == int(best[0]) or values[0] - values[1] < 1e-4


# -- likelihoods and forms ---------------------------------------------------------------------------------
def test_likelihoods_are_the_models_own_whatever_is_drawn(engine, taught, monkeypatch):
    monkeypatch.setattr(continuous, "CHUNK", 7)  # a prompt in several pieces
    request = Request.of([{"role": "user", "content": QUERIES[1]}], max_new_tokens=9, logprobs=3, prompt_logprobs=2)
    hot = request.drawn(temperature=2.0, seed=1, repetition_penalty=1.5, frequency_penalty=1.0)
    silent = request.drawn(max_new_tokens=0)
    replies = engine.generate([request, hot, silent, user(QUERIES[0]), request.drawn(prompt_logprobs=None)])
    prompt = engine.prepared(request).prompt["input_ids"]
    for reply in replies[:3]:
        with engine.adapters.active([None]):
            same_likelihoods(engine, prompt, reply)
    assert (replies[2].finish_reason, replies[2].ids, len(replies[2].prompt)) == ("length", [], len(prompt))
    assert (replies[3].text, replies[3].tokens) == (ANSWERS[0], [])
    assert replies[4].prompt == [] and [t.id for t in replies[4].tokens] == replies[0].ids


def test_pieces_bring_their_tokens(engine):
    heard = []
    request = user(QUERIES[2], logprobs=1)
    reply = engine.generate([request], lambda _, piece: heard.append(piece) or True)[0]
    told = [token for piece in heard for token in piece.tokens]
    assert told == reply.tokens[: len(told)] and len(reply.tokens) - len(told) <= 1  # the end has no text
    assert "".join(heard) == ANSWERS[2]


def test_a_form_holds_its_answer_and_nobody_elses(engine):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "of": {"enum": ["a", "b"]}},
        "required": ["n", "of"],
        "additionalProperties": False,
    }
    forms = [Guide("json", json.dumps(schema)), Guide("regex", "[xyz]{3}"), Guide("choice", '["no", "yes sir"]')]
    forms.append(Guide("grammar", 'root ::= "<" [0-9] ">"'))
    asked = [user(QUERIES[0], temperature=1.0, seed=n, guide=guide) for n, guide in enumerate(forms)]
    hot = user(QUERIES[3], temperature=2.0, seed=3)
    alone = [engine.generate([request])[0].text for request in (hot, *asked)]
    replies = engine.generate([user(QUERIES[1]), asked[0], hot, *asked[1:]])
    texts = [reply.text for reply in replies]
    assert [texts[0], texts[2]] == [ANSWERS[1], alone[0]]
    assert [texts[1], *texts[3:]] == alone[1:]
    assert json.loads(texts[1]).keys() == {"n", "of"}
    assert [
        bool(re.fullmatch(p, t)) for p, t in zip(("[xyz]{3}", "no|yes sir", "<[0-9]>"), texts[3:], strict=True)
    ] == [True] * 3
    assert {reply.finish_reason for reply in replies if reply.text in texts[3:]} == {"stop"}


def test_a_form_that_cannot_be_kept_ends_its_answer_alone(engine):
    with pytest.raises(SwiftError, match="uniqueItems"):
        engine.prepared(user("a", guide=Guide("json", '{"type": "array", "uniqueItems": true}')))
    with pytest.raises(SwiftError, match="look-around"):
        engine.generate([user("a", guide=Guide("regex", "(?=a)b"))])
    banned = tuple(engine.tokenizer("b", add_special_tokens=False)["input_ids"])
    stuck = user("a", temperature=1.0, seed=1, guide=Guide("regex", "b"), banned=banned)
    hot = user(QUERIES[3], temperature=2.0, seed=3)
    alone = engine.generate([hot])[0].text
    futures = [engine.submit(request) for request in (hot, stuck, user(QUERIES[0]))]
    assert [futures[0].result(60).text, futures[2].result(60).text] == [alone, ANSWERS[0]]
    with pytest.raises(SwiftError, match="nothing that the form allows may be drawn"):
        futures[1].result(60)


def test_a_least_length(engine):
    assert engine.generate([user(QUERIES[0])])[0].completion_tokens < 25
    reply = engine.generate([user(QUERIES[0], min_new_tokens=25, stop=["B", "e"])])[0]
    assert reply.completion_tokens >= 25 and reply.text.startswith(ANSWERS[0][:5])


def test_the_model_is_left_as_it_was(engine):
    before = engine.model.get_base_model().config._attn_implementation
    engine.model.train()
    engine.generate([user(QUERIES[0], adapter="two")])
    assert engine.model.training and engine.model.get_base_model().config._attn_implementation == before
    assert not any(module._forward_hooks for module in engine.model.modules() if hasattr(module, "lora_A"))
    engine.model.eval()


@pytest.fixture
def walked(monkeypatch):
    """Counts the modules that anybody walks through, under "modules"."""
    counts = Counter()
    for method in ("named_modules", "named_children", "_load_from_state_dict", "_save_to_state_dict"):
        plain = getattr(torch.nn.Module, method)

        def counted(self, *args, _plain=plain, **kwargs):
            counts["modules"] += 1
            return _plain(self, *args, **kwargs)

        monkeypatch.setattr(torch.nn.Module, method, counted)
    return counts


def test_each_further_adapter_is_as_much_work_as_the_one_before(taught, loras, walked):
    names = [(f"a{number}", folder) for number, folder in enumerate([*loras.values()] * 3)]
    totals = []
    for count in (2, 4, 6):
        walked.clear()
        engine = start(ckpt_dir=taught, adapters=[f"{name}={folder}" for name, folder in names[:count]])
        totals.append(walked["modules"])
    assert totals[2] - totals[1] == totals[1] - totals[0] > 0
    late, single = start(ckpt_dir=taught), []
    for name, folder in names:
        walked.clear()
        late.load_adapter(name, folder)
        single.append(walked["modules"])
    assert len(set(single[2:])) == 1, f"modules visited for one adapter more: {single}"
    asked = [user(QUERIES[0], adapter=name) for name in (None, "a0", "a1", "a4", "a5")]
    for many in (engine, late):
        assert many.adapters.mix_tokens
        assert [r.text for r in many.generate(asked)] == _by_peft_alone(taught, loras)


def _by_peft_alone(taught, loras):
    """What the plain model answers, and with each adapter on it by itself, twice over."""
    import peft

    tokenizer, plain = AutoTokenizer.from_pretrained(taught), AutoModelForCausalLM.from_pretrained(taught)
    texts = [expected(plain, tokenizer, QUERIES[0])]
    for folder in loras.values():
        adapted = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(taught), folder)
        texts.append(expected(adapted, tokenizer, QUERIES[0]))
    return [texts[0], *texts[1:], *texts[1:]]
