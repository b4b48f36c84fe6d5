"""Benchmarks by name: who measures them, what is refused, reports that are kept, compared and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_testing.contracts import tiny_model

from swift_core import SwiftError, run
from swift_core.cli import quick
from swift_core.evaluation.benchmarks import all_benchmarks
from swift_core.evaluation.sets import eval_sets
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.measuring import assigned

PAPER = ["ceval", "gsm8k", "mmlu", "COCO_VAL"]
"""As SWIFT types it (arXiv 2408.05517, appendix A)."""

ROWS = [{"query": "Name a colour.", "response": "Blue."}, {"query": "Say hello.", "response": "Hello!"}]


def eval_job(**options):
    return prepare("eval", [Given(k, v, "test") for k, v in {"eval_url": "http://127.0.0.1:9", **options}.items()])


def plan_of(job):
    return {item.entry.name: [s.name for s in sets] for item, sets in assigned(job)}


def write_lines(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_names_go_to_whoever_knows_them_and_files_to_csv(tmp_path):
    assert plan_of(eval_job(eval_dataset=PAPER)) == {"evalscope": PAPER[:3], "vlmevalkit": PAPER[3:]}
    file = write_lines(tmp_path / "qa.jsonl", ROWS)
    assert plan_of(eval_job(eval_dataset=[file, "gsm8k"])) == {"csv": ["qa"], "evalscope": ["gsm8k"]}
    assert plan_of(eval_job(eval_dataset=[file])) == {"csv": ["qa"]}


@pytest.mark.parametrize(
    ("word", "name"), [("Native", "evalscope"), ("OpenCompass", "opencompass"), ("opencompass", "opencompass")]
)
def test_backends_are_called_as_evalscope_calls_them(word, name):
    assert plan_of(eval_job(eval_dataset=["gsm8k"], eval_backend=[word])) == {name: ["gsm8k"]}


def test_unknown_names_are_refused_with_near_ones_and_who_has_them():
    with pytest.raises(SwiftError) as refused:
        eval_job(eval_dataset=["gsm9k", "COCO-VAL"])
    assert "no benchmark and no file 'gsm9k'. Similar: gsm8k (evalscope, opencompass)" in str(refused.value)
    assert "COCO_VAL (vlmevalkit)" in str(refused.value)
    for backend, name, words in (
        ("OpenCompass", "COCO_VAL", "has no benchmark 'COCO_VAL'.* vlmevalkit has it: --evaluator vlmevalkit"),
        ("OpenCompass", "ARC-c", r"Similar: .*ARC_c \(opencompass\)"),
        ("VLMEvalKit", "mmlu", "evalscope has it"),
    ):
        with pytest.raises(SwiftError, match=words):
            assigned(eval_job(eval_dataset=[name], eval_backend=[backend]))


def test_every_evaluator_says_what_its_names_read():
    known = all_benchmarks()
    assert list(known) == ["bfcl", "evalscope", "opencompass", "vlmevalkit"]
    assert all(len(known[kit]) > 40 for kit in ("evalscope", "opencompass", "vlmevalkit"))
    assert known["vlmevalkit"]["COCO_VAL"].modality == "image" and known["evalscope"]["gsm8k"].modality == "text"
    assert known["vlmevalkit"]["Video-MME"].modality == "video"
    modalities = {b.modality for benchmarks in known.values() for b in benchmarks.values()}
    assert modalities <= {"text", "image", "video", "audio", "agent", "picture", "speech"}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Options of an evaluation of a tiny model on two files."""
    folder = tmp_path_factory.mktemp("sets")
    sets = [write_lines(folder / f"{name}.jsonl", ROWS) for name in ("one", "two")]
    return {"model": tiny_model("qwen2"), "eval_dataset": sets, "max_new_tokens": 4, "device": "cpu"}


def test_a_finished_data_set_is_not_measured_again(said, tmp_path, capsys):
    done = run("eval", **said, output_dir=str(tmp_path))
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    Path(said["eval_dataset"][1]).write_text(json.dumps(ROWS[0]) + "\n")  # the second file is another one now
    more = write_lines(tmp_path / "three.jsonl", ROWS)
    capsys.readouterr()
    again = run(
        "eval", **{**said, "eval_dataset": [*said["eval_dataset"], more]}, output_dir=str(tmp_path), resume=True
    )
    heard = capsys.readouterr().err
    assert "one is measured already (csv); it is not measured again" in heard and "two is measured" not in heard
    assert [r["name"] for r in again["reports"]] == ["one", "two", "three"]
    assert [r["rows"] for r in again["reports"]] == [2, 1, 2]
    assert again["reports"][0] == done["reports"][0]
    other = run("eval", **{**said, "max_new_tokens": 5}, output_dir=str(tmp_path), resume=True)
    assert "measured already" not in capsys.readouterr().err and len(other["reports"]) == 2


def test_what_is_measured_is_kept_where_a_later_one_fails(said, tmp_path, capsys):
    """The second evaluator refuses the files; what the first measured is there for the next run."""
    with pytest.raises(SwiftError, match="OpenCompass measures its own benchmarks by name"):
        run("eval", **said, evaluator=["csv", "opencompass"], output_dir=str(tmp_path))
    assert "What is measured is kept: --output_dir" in capsys.readouterr().err
    run("eval", **said, output_dir=str(tmp_path), resume=True)
    assert capsys.readouterr().err.count("is measured already (csv)") == 2


def test_two_runs_side_by_side(tmp_path, capsys):
    for name, accuracy, more in (("base", 0.25, {}), ("tuned", 0.75, {"anls": 71.5})):
        (tmp_path / name).mkdir()
        metrics = {"accuracy": accuracy, **more}
        report = {"evaluator": "csv", "name": "numbers", "metrics": metrics, "rows": 4, "file": "", "numbers": ["anls"]}
        (tmp_path / name / "report.json").write_text(json.dumps({"reports": [report]}))
    runs = [str(tmp_path / "base"), str(tmp_path / "tuned" / "report.json")]
    found = run("eval", compare=runs, output_dir=str(tmp_path / "both"))
    assert found["metrics"][0] == {"evaluator": "csv", "name": "numbers", "metric": "accuracy", "values": [0.25, 0.75]}
    assert found["metrics"][1]["values"] == [None, 71.5]
    shown = capsys.readouterr().out
    assert "base" in shown and "tuned" in shown and "+50.00%" in shown and "71.5" in shown
    assert json.loads((tmp_path / "both" / "compared.json").read_text()) == found
    assert (tmp_path / "both" / "compared.png").stat().st_size > 1000
    with pytest.raises(SwiftError, match="two or more"):
        run("eval", compare=runs[:1])
    with pytest.raises(SwiftError, match=r"nowhere: there is no .*; say a folder that swift eval wrote"):
        run("eval", compare=[runs[0], str(tmp_path / "nowhere")])


def test_a_data_folder_that_is_none_is_refused(tmp_path):
    job = eval_job(eval_dataset=["gsm8k"], eval_data_dir=str(tmp_path / "gone"), output_dir=str(tmp_path))
    with pytest.raises(SwiftError, match=r"--eval_data_dir .*gone is not a folder"):
        job.run()


def test_the_documented_config_is_read(tmp_path):
    """The example of docs/evaluation.md."""
    text = Path(__file__).parent.parent.joinpath("docs", "evaluation.md").read_text(encoding="utf-8")
    config = text.split("```json\n", 1)[1].split("```", 1)[0]
    (tmp_path / "exam").mkdir()
    (tmp_path / "exam" / "law_val.csv").write_text("question,A,B,answer\nIs it?,yes,no,A\n")
    (tmp_path / "support").mkdir()
    write_lines(tmp_path / "support" / "default.jsonl", ROWS)
    (tmp_path / "my-dataset.json").write_text(config, encoding="utf-8")
    job = eval_job(custom_eval_config=str(tmp_path / "my-dataset.json"))
    assert [s.name for s in eval_sets(job)] == ["exam/law", "support"]
    assert plan_of(job) == {"csv": ["exam/law", "support"]}


def test_all_names_are_listed_with_who_measures_them(capsys):
    quick.print_list("benchmarks", "COCO_VAL")
    header, line, count = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "MODALITY", "EVALUATOR", "TITLE"] and count == "1 benchmarks of 1 evaluators"
    assert line.split() == ["COCO_VAL", "image", "vlmevalkit", "Caption"]
    quick.print_list("benchmarks", as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) == sum(map(len, all_benchmarks().values())) > 800
