"""The eval job with a real model that was taught its answers: evaluators, reports, and the way over HTTP."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from swift_plugin_csv.choice import LINE, Form, as_question
from swift_plugin_serving.openai_form import write_messages
from swift_plugin_serving.remote import OpenAIEngine, base_url
from swift_plugin_serving.server import running_server
from swift_testing.serving import LESSONS, random_lora, taught_qwen2

from swift_core import SwiftError, run
from swift_core.contract.engine import Request
from swift_core.evaluation.sets import eval_sets, read_custom_config
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

FORM = "{question} {choices}"
QUESTIONS = [
    {"id": "1", "question": "One?", "A": "un", "B": "deux", "C": "trois", "D": "quatre", "answer": "A"},
    {"id": "2", "question": "Two?", "A": "trois", "B": "quatre", "C": "un", "D": "deux", "answer": "D"},
    {"id": "3", "question": "三?", "A": "quatre", "B": "trois", "C": "deux", "D": "un", "answer": "B"},
    {"id": "4", "question": "Four?", "A": "deux", "B": "un", "C": "quatre", "D": "trois", "answer": "C"},
]


def news(tool: str):
    """A row whose assistant calls `tool`, where get_news alone is on offer."""
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": tool, "arguments": {}}]}
    return {"tools": [{"name": "get_news"}], "messages": [{"role": "user", "content": "News?"}, call]}


def write_table(path: Path, rows) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def write_lines(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the data sets: numbers_val.csv and its dev file, qa.jsonl, agent.jsonl."""
    folder = tmp_path_factory.mktemp("eval")
    write_table(folder / "numbers_val.csv", QUESTIONS)
    write_table(folder / "numbers_dev.csv", QUESTIONS[:2])
    write_lines(folder / "qa.jsonl", [row for row in LESSONS if "query" in row])
    write_lines(folder / "agent.jsonl", [row for row in LESSONS if "tools" in row])
    return folder


@pytest.fixture(scope="module")
def taught(place):
    """A tiny Qwen2 that knows LESSONS and QUESTIONS by heart."""
    asked = [as_question({**q, "_where": ""}, {}) for q in QUESTIONS]
    rows = [{"query": Form(FORM, LINE).write(q), "response": q.answer} for q in asked]
    rows.append(news("read"))  # a bad lesson, to be found out
    more = write_lines(place / "more-lessons.jsonl", rows)
    lessons = str(place / "model" / "lessons.jsonl")
    return taught_qwen2(
        place / "model", 70, dataset=[lessons, more], per_device_train_batch_size=10, learning_rate=1e-2
    )


@pytest.fixture(scope="module")
def said(taught):
    """Options that every evaluation of the taught model shares."""
    return {"model": taught, "template": "chatml", "agent": "hermes", "choice_prompt": FORM, "max_new_tokens": 64}


def metrics_of(done):
    return {r["name"]: r["metrics"] for r in done["reports"]}


def rows_of(report):
    return [json.loads(line) for line in Path(report["file"]).read_text(encoding="utf-8").splitlines()]


def test_what_was_taught_is_measured_as_right(place, said, tmp_path, capsys):
    sets = [str(place / "numbers_val.csv"), str(place / "qa.jsonl")]
    done = run("eval", **said, eval_dataset=sets, output_dir=str(tmp_path))
    full = {"exact_match": 1, "rouge-1": 1, "rouge-2": 1, "rouge-l": 1, "bleu": pytest.approx(1)}
    assert metrics_of(done) == {"numbers": {"accuracy": 1, "unanswered": 0}, "qa": full}
    assert "tok:zh" in done["reports"][1]["bleu_signature"]
    first = rows_of(done["reports"][0])[0]
    assert (first["question"], first["answer"], first["gold"], first["right"]) == ("One?", "A", "A", True)
    assert first["prompt"] == [{"role": "user", "content": "One? A. un\nB. deux\nC. trois\nD. quatre"}]
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["reports"] == done["reports"]
    assert (tmp_path / "swift.lock.json").is_file()
    shown = capsys.readouterr().out
    assert "accuracy" in shown and "100.00%" in shown and "numbers.jsonl" in shown


def test_exact_match_is_the_share_of_answers_that_are_the_reference(place, said, tmp_path):
    """White space at the ends aside, and nothing else: another letter's case is another answer."""
    asked = ["Name a colour.", "Say hello.", "What is 2+2?", "你好"]
    references = ["\n Blue like the sky. ", "hello, world!", "It is 4", "你好!我可以帮你吗?😀"]
    rows = [{"query": query, "response": text} for query, text in zip(asked, references, strict=True)]
    done = run("eval", **said, eval_dataset=[write_lines(tmp_path / "near.jsonl", rows)], output_dir=str(tmp_path))
    assert [r["exact_match"] for r in rows_of(done["reports"][0])] == [1, 0, 0, 1]
    assert metrics_of(done)["near"]["exact_match"] == 0.5


def test_accuracy_counts_wrong_answers(place, said, tmp_path):
    wrong = [{**q, "answer": "B"} for q in QUESTIONS]  # right for the third alone
    table = write_table(tmp_path / "wrong.csv", wrong)
    done = run("eval", **said, eval_dataset=[table], output_dir=str(tmp_path))
    assert metrics_of(done) == {"wrong": {"accuracy": 0.25, "unanswered": 0}}
    assert [r["right"] for r in rows_of(done["reports"][0])] == [False, False, True, False]


def test_untaught_model_answers_nothing_right(place, said, tmp_path):
    options = {**said, "model": str(place / "model" / "untaught"), "max_new_tokens": 4}
    sets = [str(place / "qa.jsonl")]
    done = run("eval", **options, eval_dataset=sets, output_dir=str(tmp_path))
    assert metrics_of(done)["qa"]["exact_match"] == 0
    assert metrics_of(done)["qa"]["rouge-l"] < 0.5


def test_adapter_is_what_is_measured(place, taught, said, tmp_path):
    adapter = random_lora(taught, tmp_path / "adapter")
    options = {**said, "adapters": [adapter], "max_new_tokens": 4}
    done = run("eval", **options, eval_dataset=[str(place / "qa.jsonl")], output_dir=str(tmp_path))
    assert metrics_of(done)["qa"]["exact_match"] == 0  # noise on every layer: nothing is left of the lessons


def test_examples_of_the_dev_file_come_first(place, said, tmp_path):
    options = {**said, "num_shots": 2, "system": "Choose.", "max_new_tokens": 1, "eval_limit": 1}
    done = run("eval", **options, eval_dataset=[str(place / "numbers_val.csv")], output_dir=str(tmp_path))
    row = rows_of(done["reports"][0])[0]
    assert done["reports"][0]["rows"] == 1
    assert [m["role"] for m in row["prompt"]] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [m["content"] for m in row["prompt"] if m["role"] == "assistant"] == ["A", "D"]


def test_agent_steps_and_both_evaluators_in_one_job(place, said, tmp_path):
    agent = {**said, "eval_dataset": [str(place / "agent.jsonl")], "output_dir": str(tmp_path)}
    done = run("eval", **agent, evaluator=["agent", "csv"])
    assert [r["evaluator"] for r in done["reports"]] == ["agent", "csv"]
    assert done["reports"][0]["metrics"] == {"Plan.EM": 1, "Act.EM": 1, "HalluRate": 0, "Avg.F1": 1, "R-L": 1}
    call, answer = rows_of(done["reports"][0])
    assert call["calls"] == [{"name": "get_weather", "arguments": {"city": "Paris"}}]
    assert [m["role"] for m in answer["prompt"]] == ["user", "assistant", "tool"]
    assert done["reports"][1]["metrics"]["exact_match"] == 1


def test_a_tool_that_is_not_on_offer_is_a_hallucination(said, tmp_path):
    rows = write_lines(tmp_path / "news.jsonl", [news("get_news")])
    options = {n: v for n, v in said.items() if n != "choice_prompt"}
    done = run("eval", **options, evaluator=["agent"], eval_dataset=[rows], output_dir=str(tmp_path))
    assert rows_of(done["reports"][0])[0]["calls"] == [{"name": "read", "arguments": {}}]
    assert metrics_of(done)["news"] == {"Plan.EM": 1, "Act.EM": 0, "HalluRate": 1, "Avg.F1": 0}


def test_over_http_the_same_is_measured(place, said, tmp_path):
    sets = [str(place / "numbers_val.csv"), str(place / "qa.jsonl")]
    here = {n: v for n, v in said.items() if n not in ("model", "template", "agent")}
    job = prepare("infer", [Given(n, v, "test") for n, v in said.items() if n != "choice_prompt"])
    engine = job.hook.start_engine(job=job)
    with running_server(engine) as url:
        done = run("eval", eval_url=url, **here, eval_dataset=sets, output_dir=str(tmp_path / "a"))
        agent = {"evaluator": ["agent"], "eval_dataset": [str(place / "agent.jsonl")]}
        steps = run(
            "eval", eval_url=f"{url}/v1/chat/completions", max_new_tokens=48, **agent, output_dir=str(tmp_path / "b")
        )
        remote = OpenAIEngine(url)
        stream_equals_whole(remote)
        bad_requests_say_why(remote, url)
    assert metrics_of(done)["numbers"] == {"accuracy": 1, "unanswered": 0}
    assert metrics_of(done)["qa"]["exact_match"] == 1
    assert metrics_of(steps)["agent"] == {"Plan.EM": 1, "Act.EM": 1, "HalluRate": 0, "Avg.F1": 1, "R-L": 1}


def stream_equals_whole(remote):
    request = Request.of([{"role": "user", "content": "你好"}], max_new_tokens=32)
    heard: list[str] = []
    whole, listened = remote.generate([request])[0], remote.generate([request], lambda _, p: heard.append(p) or True)[0]
    assert whole.text == "你好!我可以帮你吗?😀"
    assert listened == whole and "".join(heard) == whole.text
    assert whole.completion_tokens > 1 and whole.prompt_tokens > 1
    assert len(heard) > 1
    plain = remote.generate([Request.of(prompt="Name a", max_new_tokens=3)])[0]
    assert plain.completion_tokens == 3 and plain.finish_reason == "length"
    early = remote.generate([request], lambda *_: False)[0]
    assert whole.text.startswith(early.text) and early.text != whole.text


def bad_requests_say_why(remote, url):
    with pytest.raises(SwiftError, match=r"rows.jsonl:7: .* refused \(400\): .*prompt"):
        remote.generate([Request.of([{"role": "user", "content": "x " * 9000}], where="rows.jsonl:7")])
    with pytest.raises(SwiftError, match=r"refused \(404\): The model 'nobody' does not exist"):
        OpenAIEngine(url, model="nobody").generate([Request.of([{"role": "user", "content": "x"}])])


def test_custom_eval_config_of_the_paper(place, said, tmp_path):
    for folder, rows in (("choice", QUESTIONS), ("more", QUESTIONS[:1])):
        (tmp_path / folder).mkdir()
        write_table(tmp_path / folder / "default_val.csv", rows)
        write_table(tmp_path / folder / "default_dev.csv", QUESTIONS[:1])
    (tmp_path / "answers").mkdir()
    write_lines(tmp_path / "answers" / "easy.jsonl", [LESSONS[2]])
    write_lines(tmp_path / "answers" / "hard.jsonl", [{"query": "What is 2+2?", "response": "It is 5."}])
    config = tmp_path / "sets.json"
    entries = [
        {"name": "numbers", "pattern": "CEval", "dataset": str(tmp_path / "choice")},
        {"name": "qa", "pattern": "general_qa", "dataset": "answers"},  # beside the config
        {"name": "some", "pattern": "General-QA", "dataset": "answers", "subset_list": ["hard"]},
        {"name": "file", "pattern": "General-QA", "dataset": str(place / "qa.jsonl")},
    ]
    config.write_text(json.dumps(entries), encoding="utf-8")
    done = run("eval", **said, custom_eval_config=str(config), output_dir=str(tmp_path / "out"))
    found = metrics_of(done)
    assert list(found) == ["numbers", "qa/easy", "qa/hard", "some/hard", "file"]
    assert found["numbers"]["accuracy"] == found["qa/easy"]["exact_match"] == found["file"]["exact_match"] == 1
    assert found["qa/hard"]["exact_match"] == 0
    assert found["qa/hard"]["rouge-1"] == pytest.approx(2 / 3)  # it, is; not the number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not valid JSON"),
        ("{}", "must be a list of"),
        ('[{"name": "x", "pattern": "CEval"}]', "entry 1: dataset is missing"),
        ('[{"name": "x", "pattern": "C-Evall", "dataset": "y"}]', "unknown pattern 'C-Evall'. Did you mean 'CEval'"),
        ('[{"name": "x", "pattern": "CEval", "dataset": "nowhere"}]', "the dataset 'nowhere' does not exist"),
        ('[{"name": "x", "pattern": "CEval", "dataset": "d", "subset_list": ["lwa"]}]', "Did you mean 'law'"),
        ('[{"name": "x", "pattern": "CEval", "dataset": "empty"}]', "holds no data files"),
    ],
)
def test_bad_config_says_where(tmp_path, text, words):
    (tmp_path / "d").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "d" / "law_val.csv").touch()
    (tmp_path / "sets.json").write_text(text, encoding="utf-8")
    with pytest.raises(SwiftError, match=words):
        read_custom_config(str(tmp_path / "sets.json"))


def eval_job(**options):
    return prepare("eval", [Given(k, v, "test") for k, v in {"eval_url": "http://127.0.0.1:9", **options}.items()])


def test_data_sets_get_names_of_their_own(place, tmp_path):
    write_lines(tmp_path / "qa.jsonl", LESSONS[:1])
    job = eval_job(eval_dataset=[str(place / "qa.jsonl"), str(tmp_path / "qa.jsonl"), "gsm8k", str(tmp_path)])
    assert [s.name for s in eval_sets(job)] == ["qa", "qa-2", "gsm8k", "qa-3"]
    folder = eval_job(eval_dataset=[str(place)])
    assert [s.name for s in eval_sets(folder)] == ["numbers"]  # a folder with *_val tables stands for these


def test_nothing_to_measure_on_is_refused(tmp_path):
    job = eval_job(output_dir=str(tmp_path))
    with pytest.raises(SwiftError, match="Measure on what"):
        job.run()


def test_a_file_cannot_be_the_output_folder(place, tmp_path):
    (tmp_path / "out").touch()
    job = eval_job(eval_dataset=[str(place / "qa.jsonl")], output_dir=str(tmp_path / "out"))
    with pytest.raises(SwiftError, match="is a file, not a folder"):
        job.run()


def test_addresses():
    for url in (
        "http://h:1",
        "http://h:1/",
        "http://h:1/v1/",
        "http://h:1/v1/chat/completions",
        "http://h:1/v1/models",
    ):
        assert base_url(url) == "http://h:1/v1"
    assert base_url("https://h/api/v4") == "https://h/api/v4"
    with pytest.raises(SwiftError, match="is not an address"):
        base_url("localhost:8000")


def test_conversation_in_openais_form(tmp_path):
    picture = tmp_path / "dot.png"
    picture.write_bytes(b"\x89PNG")
    call = {"name": "look", "arguments": {"where": "北"}}
    request = Request.of(
        [
            {"role": "user", "content": "<image>What <image>?"},
            {"role": "assistant", "content": "", "tool_calls": [call, call]},
            {"role": "tool", "content": "one"},
            {"role": "tool", "content": "two"},
        ],
        images=[str(picture), "https://host/dot.png"],
    )
    user, said, one, two = write_messages(request)
    data, text, web, mark = user["content"]
    assert data == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
    assert (text, mark) == ({"type": "text", "text": "What "}, {"type": "text", "text": "?"})
    assert web["image_url"]["url"] == "https://host/dot.png"
    assert [c["function"]["arguments"] for c in said["tool_calls"]] == ['{"where": "北"}'] * 2
    assert [one["tool_call_id"], two["tool_call_id"]] == [c["id"] for c in said["tool_calls"]]
    with pytest.raises(SwiftError, match=r"The image 'gone.png' cannot be read"):
        write_messages(Request.of([{"role": "user", "content": "<image>"}], images=["gone.png"]))
