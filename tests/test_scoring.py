"""Scoring models after training: `swift infer` says labels, scores and vectors; from Python too."""

import json
import math
import urllib.error
import urllib.request

import pytest
from swift_plugin_serving.server import running_server

from swift_core import SwiftError, run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

ROWS = [
    {"query": "add 1 2", "response": "3", "rejected_response": "city", "label": 1, "positive": "1 2 add"},
    {"query": "hello", "response": "Paris.", "rejected_response": "no", "label": 0, "positive": "city Paris"},
]


@pytest.mark.parametrize(
    ("trainer", "tuner", "told"),
    [
        ("seq_cls", "lora", {"num_labels": 3}),
        ("seq_cls", "full", {"num_labels": 2, "problem_type": "regression"}),
        ("rm", "full", {}),
        ("embedding", "lora", {"pooling": "mean"}),
    ],
)
def test_infer_says_what_the_model_finds(trainer, tuner, told, qwen2, write_rows, tmp_path):
    """The same numbers as the trainer's own model gives for each row."""
    rows = ROWS
    if told.get("problem_type"):
        rows = [{**row, "label": [row["label"], 0.5]} for row in ROWS]
    file = write_rows(rows)
    done = run(
        "train", trainer=trainer, tuner=tuner, model=qwen2, dataset=[file], output_dir=str(tmp_path / "out"),
        num_train_epochs=1, learning_rate=1e-2, **told,
    )  # fmt: skip
    found = run("infer", ckpt_dir=done["checkpoint"], dataset=[file], result_path=str(tmp_path / "r.jsonl"))
    replies = [json.loads(record["response"]) for record in found]
    taught = done["trainer"]
    batch = taught.data_collator(sorted(taught.train_dataset, key=lambda group: group.row.where))
    model = taught.model.eval()
    if trainer == "embedding":
        import base64
        import struct

        from swift_plugin_runtime.scoring.texts import embed

        wanted = embed(model, batch["texts"], "mean").tolist()[::2]
        assert all(math.isclose(sum(v * v for v in r["embedding"]), 1, rel_tol=1e-4) for r in replies)
        assert [r["embedding"] for r in replies] == [pytest.approx(v, abs=1e-4) for v in wanted]
        with serve(done["checkpoint"]) as url:
            asked = {"input": [row["query"] for row in rows]}
            said = post(url + "/v1/embeddings", asked)[1]["data"]
            packed = post(url + "/v1/embeddings", {**asked, "encoding_format": "base64"})[1]["data"]
            short = post(url + "/v1/embeddings", {**asked, "dimensions": 4})[1]
            ids = post(url + "/v1/embeddings", {"input": [[3, 4, 5], [6]]})[1]
            turned = post(url + "/v1/embeddings", {"input": [[6], [3, 4, 5], [6]]})[1]["data"]
            same = post(url + "/v1/embeddings", {"input": [3, 4, 5]})[1]
            for wrong in ({"input": [10**6]}, {"input": [-1]}, {**asked, "dimensions": 10**4}, {"input": []}):
                assert post(url + "/v1/embeddings", wrong)[0] == 400
        first = said[0]["embedding"][:4]
        assert short["data"][0]["embedding"] == pytest.approx([v / math.hypot(*first) for v in first], abs=1e-4)
        assert short["usage"]["prompt_tokens"] > 4
        assert (ids["usage"]["prompt_tokens"], same["usage"]["prompt_tokens"]) == (4, 3)
        short, long = (pytest.approx(one["embedding"], abs=1e-4) for one in reversed(ids["data"]))
        assert [one["embedding"] for one in turned] == [short, long, short]
        assert same["data"][0]["embedding"] == pytest.approx(ids["data"][0]["embedding"], abs=1e-4)
        assert [one["embedding"] for one in said] == [pytest.approx(v, abs=1e-4) for v in wanted]
        raw = base64.b64decode(packed[0]["embedding"])
        assert struct.unpack(f"<{len(wanted[0])}f", raw) == pytest.approx(wanted[0], abs=1e-4)
        return
    scores = taught.scores(model, batch).tolist()
    if trainer == "rm":
        assert [r["score"] for r in replies] == [pytest.approx(s[0], abs=1e-4) for s in scores[::2]]
    elif told.get("problem_type"):
        assert [r["values"] for r in replies] == [pytest.approx(s, abs=1e-4) for s in scores]
    else:
        assert [r["label"] for r in replies] == [s.index(max(s)) for s in scores]
        assert all(len(r["probabilities"]) == 3 for r in replies)
        with serve(done["checkpoint"]) as url:
            asked = {"messages": [{"role": "user", "content": rows[0]["query"]}]}
            said = post(url + "/v1/chat/completions", asked)[1]["choices"][0]["message"]["content"]
        assert json.loads(said)["label"] == replies[0]["label"]


@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_classes_have_their_names_again(tuner, qwen2, tmp_path):
    """Names in a table become numbers for the head; every checkpoint keeps them, and infer and eval speak in them."""
    file = tmp_path / "rows.csv"
    file.write_text("query,label\nadd 1 2,sum\nhello,greeting\nadd 3 4,sum\ncity,other\n")
    done = run(
        "train", trainer="seq_cls", tuner=tuner, model=qwen2, dataset=[str(file)], output_dir=str(tmp_path / "out"),
        num_labels=3, max_steps=1,
    )  # fmt: skip
    names = ["greeting", "other", "sum"]
    labels = {group.row.messages[0]["content"]: group.row.label for group in done["trainer"].train_dataset}
    assert labels == {"add 1 2": 2, "hello": 0, "add 3 4": 2, "city": 1}
    assert done["trainer"].model.config.id2label == dict(enumerate(names))
    found = run("infer", ckpt_dir=done["checkpoint"], dataset=[str(file)], result_path=str(tmp_path / "r.jsonl"))
    replies = [json.loads(record["response"]) for record in found]
    assert all(r["label"] == names[r["probabilities"].index(max(r["probabilities"]))] for r in replies)
    told = {"ckpt_dir": done["checkpoint"], "evaluator": ["scoring"], "eval_dataset": [str(file)]}
    (report,) = run("eval", **told, output_dir=str(tmp_path / "report"))["reports"]
    right = sum(r["label"] == label for r, label in zip(replies, ("sum", "greeting", "sum", "other"), strict=True))
    assert report["metrics"]["accuracy"] == right / 4
    with pytest.raises(SwiftError, match=r"The labels name 3 classes .*--num_labels 3"):
        run("train", trainer="seq_cls", model=qwen2, dataset=[str(file)], output_dir=str(tmp_path / "b"), num_labels=2)


def serve(checkpoint, **options):
    """A server of a checkpoint's engine, as `swift deploy` starts it."""
    told = {"ckpt_dir": checkpoint, "device": "cpu", **options}
    job = prepare("deploy", [Given(k, v, "test") for k, v in told.items()])
    return running_server(job.hook.start_engine(job=job))


def post(url, body):
    """(status, JSON) of a request."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_generative_reranker_ranks_over_http(qwen2, write_rows, tmp_path):
    """It learns that digits answer and cities do not; what the server gives is σ of the trainer's odds."""
    rows = [
        {"query": "add 1 2", "positive": "3", "negative": ["city"]},
        {"query": "add 4 4", "positive": "8", "negative": ["Paris"]},
    ]
    done = run(
        "train", trainer="generative_reranker", tuner="full", model=qwen2, dataset=[write_rows(rows)], max_steps=16,
        output_dir=str(tmp_path / "out"), positive_token="a", negative_token="b", per_device_train_batch_size=2,
        learning_rate=1e-2, prompt="{query} {document}", save_strategy="no",
    )  # fmt: skip
    taught = done["trainer"]
    batch = taught.data_collator(sorted(taught.train_dataset, key=lambda group: group.row.where))
    odds = taught.method.scores(taught, taught.model.eval(), batch).tolist()
    with serve(done["checkpoint"]) as url:
        status, found = post(url + "/v1/rerank", {"query": "add 1 2", "documents": ["city", "3"]})
        assert status == 200 and [one["index"] for one in found["results"]] == [1, 0]
        assert found["results"][0]["document"] == {"text": "3"}
        status, scored = post(url + "/v1/score", {"text_1": "add 1 2", "text_2": ["3", "city"]})
        wanted = [1 / (1 + math.exp(-value)) for value in odds[:2]]
        assert [one["score"] for one in scored["data"]] == pytest.approx(wanted, abs=1e-4)
        status, refused = post(url + "/v1/embeddings", {"input": "a"})
        assert status == 400 and "a reranker is given a query, and a document" in refused["error"]["message"]
        status, refused = post(url + "/v1/score", {"text_1": ["a", "b"], "text_2": ["c", "d", "e"]})
        assert status == 400 and "text_1 holds 2 texts and text_2 3" in refused["error"]["message"]
