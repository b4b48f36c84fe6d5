"""What stands behind the tabs, without a browser: pickers, chat with a real server, rows as trained, words, HTML."""

from __future__ import annotations

import base64
import json
import os

import pytest
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from PIL import Image
from serving_engines import Echo
from swift_plugin_serving.server import running_server
from swift_plugin_webui.forms.written import WrittenJob
from swift_plugin_webui.jobs.record import ENDED
from swift_plugin_webui.jobs.store import Store
from swift_plugin_webui.look import main
from swift_plugin_webui.page import ask, html, pickers, talk
from swift_plugin_webui.page.build import page
from swift_plugin_webui.page.data_tab import as_trained
from swift_plugin_webui.page.drafts import Draft, remember, remembered
from swift_plugin_webui.page.svg import RIGHT, WIDTH, Axis, panel
from swift_plugin_webui.page.texts import CHINESE, LANGUAGES, Texts
from swift_plugin_webui.safety.paths import Places
from swift_testing.smollm2 import smollm2

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.cli.listing import show_facts


@pytest.fixture
def store(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Store("jobs", Places(["."]))


def test_every_word_of_the_page_is_there_in_chinese(store):
    """A page is built in each language; words that the table lacks are a KeyError."""
    for language in LANGUAGES:
        blocks = page(store, Texts(language))
        labels = {tab["props"]["label"] for tab in blocks.config["components"] if tab["type"] == "tabitem"}
        assert {"训练", "数据"} <= labels or {"Train", "Data"} <= labels
        assert not any(function.api_visibility == "public" for function in blocks.fns.values())
    assert {*ENDED, "queued", "running", "stopping"} <= {*CHINESE}


def test_pickers_show_what_is_here_and_nothing_outside(store, tmp_path):
    (tmp_path / "outside").mkdir()
    for place in ("outside", "work"):
        (tmp_path / place / "rows.jsonl").write_text("{}")
        (tmp_path / place / "model").mkdir()
        (tmp_path / place / "model" / "config.json").write_text("{}")
        checkpoint = tmp_path / place / "output" / "run" / "checkpoint-5"
        checkpoint.mkdir(parents=True)
    os.symlink(tmp_path / "outside", "link")
    os.symlink(tmp_path / "outside" / "output" / "run", "output/other")
    os.symlink("/etc/hostname", "host.jsonl")
    (tmp_path / "new.jsonl").write_text("{}")
    assert pickers.keep_upload(store, str(tmp_path / "new.jsonl")) == "jobs/uploads/new.jsonl"
    (tmp_path / "new.jsonl").write_text("[]")
    assert pickers.keep_upload(store, str(tmp_path / "new.jsonl")) == "jobs/uploads/new-2.jsonl"
    files = [value for _, value in pickers.data_files(store)]
    assert files == ["jobs/uploads/new-2.jsonl", "jobs/uploads/new.jsonl", "rows.jsonl"]
    assert [value for _, value in pickers.checkpoints_here(store)] == ["output/run/checkpoint-5"]
    models = dict(pickers.models(store))
    assert models["model"] == "model" and not any("link" in value or "outside" in value for value in models.values())
    assert "alpaca-en" in [value for _, value in pickers.datasets(store)], "a published data set, by its name"
    label = next(label for label, value in models.items() if value == "Qwen/Qwen2-VL-2B-Instruct")
    assert "image" in label and "media" in label


def test_a_chat_with_a_real_server(tmp_path, monkeypatch):
    monkeypatch.setattr(talk, "EVERY", 0)  # each piece is shown, however quickly it comes
    Image.new("RGB", (8, 8)).save(tmp_path / "red.png")
    history = [{"role": "user", "content": "two words"}]
    with running_server(Echo()) as url:
        assert talk.models_at(url) == ["echo"]
        shown = list(talk.answers(url, "", history, talk.Wishes("echo", "Be kind.", 0.5, 0.9, 16)))
        assert "two" in [messages[-1]["content"].strip() for messages in shown[:-1]], "it comes piece by piece"
        assert [m["content"].strip() for m in shown[-1]] == ["two words", "two words"]
        with pytest.raises(SwiftError, match="that is bad"):
            list(talk.answers(url, "", [{"role": "user", "content": "bad"}], talk.Wishes("echo")))
        with pytest.raises(SwiftError, match="not valid JSON"):
            list(talk.answers(url, "", history, talk.Wishes("echo", tools="[{")))
    with pytest.raises(SwiftError, match="does not answer"):
        talk.models_at(url)
    for address in ("http://10.0.0.1:80", "https://example.com", "http://127.0.0.1", "file:///etc/passwd", "x", ""):
        with pytest.raises(SwiftError, match="no server on this machine"):
            talk.check_server(address)


def test_what_is_sent_of_a_conversation(tmp_path):
    """Media as data, thoughts left out, calls as calls; a user's neighbouring messages are one."""
    Image.new("RGB", (8, 8)).save(tmp_path / "red.png")
    answer = talk.Answer()
    call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"city": '}}
    for delta in (
        {"role": "assistant", "reasoning_content": "Hm."},
        {"content": "I ask."},
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"巴黎"}'}}]},
    ):
        answer.add(ChoiceDelta.model_validate(delta))
    shown = answer.messages(True)
    assert [(m.get("metadata") or {}).get("title") for m in shown] == ["Thinking", None, "Tool call: weather"]
    picture = {"role": "user", "content": {"path": str(tmp_path / "red.png")}}
    history = [picture, {"role": "user", "content": [{"type": "text", "text": "What?"}]}, *shown]
    user, assistant = talk.messages_of(history)
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["image_url", "text"]
    data = user["content"][0]["image_url"]["url"].partition("base64,")[2]
    assert base64.b64decode(data) == (tmp_path / "red.png").read_bytes()
    assert assistant["content"] == "I ask."
    assert assistant["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "巴黎"}'}
    assert [c["id"] for c in talk.unanswered(history)] == ["c1"] and not talk.awaits_answer(history)
    answered = [*history, talk.result_of(talk.unanswered(history)[0], '{"sky": "`晴`"}')]
    assert talk.awaits_answer(answered) and not talk.unanswered(answered)
    assert talk.messages_of(answered)[-1] == {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "`晴`"}'}
    assert not talk.unanswered([*history, {"role": "user", "content": "Leave it."}])
    for name, sort in (("a.mp4", "video_url"), ("a.wav", "audio_url")):
        (tmp_path / name).write_bytes(b"x")
        assert talk.medium(str(tmp_path / name))["type"] == sort
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SwiftError, match="no picture, video or sound"):
        talk.messages_of([{"role": "user", "content": {"path": str(tmp_path / "a.txt")}}])


def test_rows_as_smollm2_is_trained_on_them(tmp_path):
    """What is coloured is what is trained: the answer and its end, by the model's own tokenizer and template."""
    model = smollm2(tmp_path / "smol")
    if model is None:
        pytest.skip("SmolLM2 is not installed")
    rows = [{"query": "Zwei <b>?", "response": "2, 好"}, {"query": "no answer"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"dataset": [str(tmp_path / "rows.jsonl")], "model": model, "strict": False}
    found = main({"job": "sft", "values": values, "first": 0, "count": 5})
    assert found["total"] == 1 and any("rows.jsonl:2" in line for line in found["said"])
    pieces = found["rows"][0]["tokens"]
    assert [text for text, weight in pieces if weight] == ["2, 好<|im_end|>"] or [
        text.strip() for text, weight in pieces if weight
    ] == ["2, 好<|im_end|>"]
    assert "<|im_start|>user\nZwei <b>?<|im_end|>" in pieces[0][0]
    drawn = html.row_html(1, found["rows"][0], Texts())
    assert "<b>" not in drawn.replace("<b>user</b>", "") and "&lt;b&gt;" in drawn and "<mark" in drawn
    assert main({"job": "sft", "values": {"dataset": ["none.jsonl"], "loader": ""}, "first": 0, "count": 1})["error"]


def test_rows_of_every_kind_are_shown_with_what_is_wrong_with_them(tmp_path, monkeypatch):
    """Both answers of pairs, labels, weights, tools, pictures, other columns; missing pictures and bad rows by line."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (640, 480), "red").save("red.png")
    written = "data:image/png;base64," + base64.b64encode((tmp_path / "red.png").read_bytes()).decode()
    pair = {"query": "问?", "response": "好", "rejected_response": "坏"}
    call = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "巴黎"}'}}
    turns = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    turns += [{"role": "tool", "content": "sun"}, {"role": "assistant", "content": "No.", "loss_scale": 2.0}]
    rows = {
        "pair": [pair],
        "label": [{"query": "q", "response": "r", "label": False, "score": "<7>"}],
        "tools": [{"messages": turns, "tools": [{"type": "function", "function": {"name": "weather"}}]}],
        "picture": [
            {"query": "<image>?", "response": "r", "images": [f]}
            for f in ("red.png", "gone.png", "/etc/x.png", written)
        ],
        "broken": [{"query": "q", "response": "1"}, {"query": 1}, {"query": "q", "response": "3"}],
        "text": [{"text": "once"}],
        "empty": [],
    }
    for name, those in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in those)
        (tmp_path / f"{name}.jsonl").write_text(text.replace('{"query": 1}', '{"query": "q'))
    (tmp_path / "table.csv").write_text('query,response\n"a, b",1\nonly\n')

    def shown(name, method="sft"):
        written = as_trained(name, "", method)
        found = main({"job": written.job, "values": written.values, "first": 0, "count": 5, "folders": [str(tmp_path)]})
        rows = found.get("rows", [])
        return "".join(html.row_html(n, row, Texts()) for n, row in enumerate(rows, 1)), found

    drawn, found = shown("pair.jsonl")
    assert "好" in drawn and "坏" in drawn.partition("rejected")[2] and "sft does not learn" in found["said"][0]
    assert shown("pair.jsonl", "dpo")[1]["said"] == [] and found["lengths"] == [3] and found["unit"] == "characters"
    drawn, _ = shown("label.jsonl")
    assert "label: False" in drawn and "&lt;7&gt;" in drawn and "<7>" not in drawn
    drawn, _ = shown("tools.jsonl")
    assert "巴黎" in drawn and "<summary>Tools</summary>" in drawn and "loss_scale: 2.0" in drawn
    drawn, _ = shown("picture.jsonl")
    assert (
        drawn.count("<img") == 2
        and len(drawn) < 8000
        and "gone.png: not found" in drawn
        and "x.png: outside the folders" in drawn
    )
    drawn, found = shown("broken.jsonl")
    assert found["total"] == 2 and "broken.jsonl:2" in found["said"][0] and "broken.jsonl:3" in drawn
    assert "table.csv:3: fewer cells" in shown("table.csv")[1]["said"][0] and "a, b" in shown("table.csv")[0]
    assert "swift pt" in "".join(shown("text.jsonl")[1]["said"]) and "once" in shown("text.jsonl", "pt")[0]
    assert shown("empty.jsonl")[1]["said"] == ["empty.jsonl: no row can be used"]
    for name, said in (
        ("gone.jsonl", "does not exist"),
        ("alpca-en", "'alpaca-en'"),
        ("no-such", "swift list datasets"),
    ):
        assert said in shown(name)[1]["error"]
    example = main({**_example("alpaca-en"), "first": 0, "count": 5, "examples": True})
    assert example["total"] == 1 and example["rows"][0]["where"] == "example of alpaca-en"


def _example(name):
    written = as_trained(name, "", "sft")
    return {"job": written.job, "values": written.values}


def test_a_pair_as_smollm2_is_trained_on_it(tmp_path):
    """By DPO both answers, by GRPO none, by a reward model no token by itself; what many tokens say stands once."""
    model = smollm2(tmp_path / "smol")
    if model is None:
        pytest.skip("SmolLM2 is not installed")
    file = tmp_path / "pair.jsonl"
    file.write_text(json.dumps({"query": "q", "response": "good", "rejected_response": "bad"}) + "\n")

    def sides(method):
        written = as_trained(str(file), model, method)
        found = main({"job": written.job, "values": written.values, "first": 0, "count": 1})
        return [[text for text, w in found["rows"][0][side] or [] if w] for side in ("tokens", "worse")], found

    (better, worse), found = sides("dpo")
    assert [text.removesuffix("<|im_end|>") for text in better + worse] == ["good", "bad"]
    assert html.row_html(1, found["rows"][0], Texts()).count(html.WORSE) == 1
    assert sides("sft")[0] == [better, []] and sides("rm")[0] == [[], []]
    none, found = sides("grpo")
    assert none == [[], []] and found["rows"][0]["tokens"][-1][0].endswith("<|im_start|>assistant\n")
    row = {"where": "x:1", "messages": [], "tokens": [["<|image_pad|>" * 64 + "?", 0.0]]}
    assert "&lt;|image_pad|&gt;×64?" in html.row_html(1, row, Texts())


def test_a_models_page_says_all_that_show_model_says():
    facts = json.loads(json.dumps({**show_facts(Catalogue.installed(), "model", "qwen2_vl"), "file": ""}, default=str))
    drawn = html.facts_html(facts)
    leaves = [str(leaf) for leaf in leaves_of(facts) if leaf not in ("", "model")]
    assert len(leaves) > 60 and [leaf for leaf in leaves if leaf not in drawn] == []
    assert "loss_after: " in drawn and "{" not in drawn


def leaves_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for item in inner for leaf in leaves_of(item)]


def test_a_panel_of_curves():
    drawn = panel("a<b", {"one <i>": [(1, 4.0), (2, 2.0), (3, float("nan"))], "two": [(5, 3.0)], "none": []}, "step")
    assert drawn.count("<polyline") == 1 and drawn.count("<circle") == 1 and "<i>:" not in drawn
    assert 'points="58.0,30.0 133.0,168.0"' in drawn, "first and last value stand at the ends of the axes"
    assert [round(tick, 6) for tick in Axis(0.0, 0.001, 0, 1).ticks()] == [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]
    assert Axis(7.0, 7.0, 0, 100).at(7.0) == 50
    assert WIDTH - RIGHT >= 20, "the last number below the axis, of five digits, is not cut off"
    assert panel("empty", {"none": []}, "step") == ""


def test_recipes_are_listed_by_task_and_by_the_memory_they_are_counted_for():
    every, small = (pickers.recipes(("sft", "rlhf", "pt", "train"), gib) for gib in (0, 24))
    labels = [label for label, _ in every]
    assert [label.partition("  ·")[0].lower() for label in labels] == sorted(
        x.partition("  ·")[0].lower() for x in labels
    )
    assert "chat  ·  llama31-8b-qlora  ·  one GPU of 16 GB  ·  meta-llama/Meta-Llama-3.1-8B" in labels
    counted = [pickers.memory_needed(label) for label, _ in small]
    assert 0 < len(small) < len(every) and max(counted) == 24
    assert counted.index(0) == sum(map(bool, counted)), "those that nobody counted come last"
    assert pickers.recipes(("eval",)) and not {name for _, name in pickers.recipes(("eval",))} & {
        name for _, name in every
    }


def test_refusals_and_plans_are_asked_of_swift(store):
    assert "neither a local folder" in ask.refusal(
        WrittenJob("sft", {"model": "nothing here", "dataset": ["a b.jsonl"]})
    )
    assert "max_steps" in ask.refusal(WrittenJob("sft", {"model": "./nothing", "max_steps": "many"}))
    assert ask.plan(WrittenJob("eval", {})) == ""


def test_the_last_settings_come_back(store):
    draft = Draft("train", "rlhf", {"trainer": "kto", "system": 'a "b"\nc', "hub_token": "s3cr3t"})
    remember(store, draft, draft.written())
    again = remembered(store, "train", ("sft", "rlhf"))
    assert again.job == "rlhf" and again.raw == {"trainer": "kto", "system": 'a "b"\nc'}
    (store.folder / "settings" / "train.yaml").write_text("- broken")
    assert remembered(store, "train", ("sft", "rlhf")).raw == {}
