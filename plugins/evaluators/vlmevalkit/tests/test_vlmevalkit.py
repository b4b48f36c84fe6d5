"""VLMEvalKit itself, where its environment is made; what is refused, and reading its scores, everywhere."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import swift_plugin_vlmevalkit
from PIL import Image
from swift_plugin_serving.cpu_torchvision import AT_IMPORT
from swift_plugin_vlmevalkit import VLMEvalKit
from swift_plugin_vlmevalkit.results import flat, read_results

from swift_core import SwiftError, run
from swift_core.catalogue import venvs
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.measuring import check_data

COLUMNS = ["index", "question", "A", "B", "answer", "image"]
COLOURS = [("red", "A"), ("blue", "B"), ("red", "A"), ("blue", "A")]
"""Pictures of one colour, with the answer of the table; the last one is wrong."""

PROMPT = (
    "Question: Which colour?\nOptions:\nA. red\nB. blue\nPlease select the correct answer from the options above. \n"
)
"""How VLMEvalKit writes the question."""


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (56, 56), colour)


def write_table(path: Path) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t")
        writer.writerow(COLUMNS)
        for number, (colour, answer) in enumerate(COLOURS):
            held = io.BytesIO()
            picture(colour).save(held, "JPEG")
            image = base64.b64encode(held.getvalue()).decode()
            writer.writerow([number, "Which colour?", "red", "blue", answer, image])
    return str(path)


def eval_job(tmp_path, **options):
    given = {"evaluator": ["VLMEvalKit"], "eval_url": "http://127.0.0.1:9", "output_dir": str(tmp_path / "out")}
    return prepare("eval", [Given(k, v, "test") for k, v in {**given, **options}.items()])


@pytest.mark.parametrize(
    ("name", "header", "words"),
    [
        ("rows.jsonl", '{"query": "a", "response": "b"}', "local .tsv files; use --evaluator csv"),
        ("own.tsv", "index\tquestion\tanswer", "lacks the columns A, B: .*free answers: --evaluator csv"),
        ("COCO_VAL.tsv", "\t".join(COLUMNS), "has a benchmark 'COCO_VAL' and would fetch that; rename the file"),
        ("my table.tsv", "\t".join(COLUMNS), "rename it to letters"),
    ],
)
def test_what_vlmevalkit_cannot_measure_is_refused_before_its_environment_is_made(tmp_path, name, header, words):
    (tmp_path / name).write_text(header + "\n", encoding="utf-8")
    with pytest.raises(SwiftError, match=words):
        check_data(eval_job(tmp_path, eval_dataset=[str(tmp_path / name)]))


def write_found(folder: Path, **found) -> Path:
    (folder / "found.json").write_text(json.dumps({"rows": 4, "failed": 0, "scores": {}, **found}))
    (folder / "log.txt").write_text("[x] Model served x Dataset own combination failed: no key, skipping this one.\n")
    return folder / "log.txt"


def test_scores_of_every_form_become_metrics(tmp_path):
    job = eval_job(tmp_path, eval_dataset=["COCO_VAL"])
    accuracy = [{"split": "none", "Overall": 0.75, "colours": 0.5}]
    log = write_found(tmp_path, scores={"acc": accuracy, "score": {"Bleu": [10.5, 2], "CIDEr": 3}}, failed=1)
    report = read_results(job, "own", tmp_path, log)
    assert report["metrics"] == {"Overall": 0.75, "colours": 0.5, "Bleu-1": 10.5, "Bleu-2": 2, "CIDEr": 3}
    assert report["numbers"] == ["Bleu-1", "Bleu-2", "CIDEr"], "Accuracies of multiple choice are shares, no others."
    assert job.notes[-1].startswith("own: 1 of 4 rows had no answer")
    two = [{"split": "dev", "Overall": 0.5}, {"split": "test", "Overall": 1.0}]
    assert dict(flat(two)) == {"dev/Overall": 0.5, "test/Overall": 1.0}


def test_no_score_and_no_answer_are_errors(tmp_path):
    job = eval_job(tmp_path, eval_dataset=["COCO_VAL"])
    log = write_found(tmp_path)
    with pytest.raises(SwiftError, match=r"could not measure own: .*combination failed: no key"):
        read_results(job, "own", tmp_path, log)
    log = write_found(tmp_path, failed=4, scores={"acc": [{"split": "none", "Overall": 0.0}]})
    with pytest.raises(SwiftError, match="no answer to any of the 4 rows"):
        read_results(job, "own", tmp_path, log)


def environment():
    return venvs.find("vlmevalkit")


NEEDS_VLMEVALKIT = pytest.mark.skipif(
    os.environ.get("SWIFT_TEST_VLMEVALKIT") != "1", reason="VLMEvalKit itself is heavy: make test-vlmevalkit"
)


@NEEDS_VLMEVALKIT
def test_the_table_of_names_is_that_of_the_pinned_package(tmp_path):
    script = Path(swift_plugin_vlmevalkit.__file__).with_name("names.py")
    code = f"{AT_IMPORT}\nimport runpy\nrunpy.run_path({str(script)!r}, run_name='__main__')"
    words = [str(environment().create()), "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout[done.stdout.index("name\t") :] == VLMEvalKit.benchmarks.read_text(encoding="utf-8")


@contextmanager
def deployed(model: str, name: str, key: str) -> Iterator[str]:
    """The address of a `swift deploy` process."""
    words = ["deploy", "--model", model, "--template", "qwen2_vl", "--port", "0", "--served_model_name", name]
    command = [sys.executable, "-m", "swift_core", *words, "--device", "cpu", "--api_key", key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line.startswith("Serving on http://127.0.0.1:")
            yield line.split()[-1]
        finally:
            server.terminate()
            server.wait(60)


@NEEDS_VLMEVALKIT
def test_vlmevalkit_shows_pictures_to_a_model_that_knows_them(tmp_path):
    """A tiny Qwen2-VL learns two colours; through VLMEvalKit it is right but for the row whose answer is wrong.

    It is served by `swift deploy`, under a name for which VLMEvalKit would ask another provider.
    """
    from swift_testing.tiny import SAMPLE_TEXTS, tiny_qwen2_vl

    lessons = []
    for colour, answer in COLOURS[:2]:
        picture(colour).save(tmp_path / f"{colour}.png")
        lessons.append({"query": f"<image>{PROMPT}", "response": answer, "images": [str(tmp_path / f"{colour}.png")]})
    rows = tmp_path / "lessons.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in lessons), encoding="utf-8")
    told = {"template": "qwen2_vl", "device": "cpu"}
    model = run(
        "sft", model=tiny_qwen2_vl(tmp_path / "tiny", texts=[*SAMPLE_TEXTS, PROMPT]), dataset=[str(rows)],
        tuner=["full"], max_steps=60, learning_rate=5e-3, per_device_train_batch_size=2, save_only_model=True,
        freeze_vit=False, freeze_aligner=False, lr_scheduler_type="constant", output_dir=str(tmp_path / "run"), **told,
    )["checkpoint"]  # fmt: skip
    out, table = tmp_path / "out", write_table(tmp_path / "OwnColours.tsv")
    with deployed(model, "ernie-o1", "not-to-be-written") as url:
        done = run(
            "eval", eval_url=url, api_key="not-to-be-written", evaluator=["VLMEvalKit"], eval_dataset=[table],
            max_new_tokens=4, output_dir=str(out),
        )  # fmt: skip
    (report,) = done["reports"]
    assert report["metrics"] == {"Overall": 0.75} and report["rows"] == 4 and report["failed"] == 0
    for file in out.rglob("*"):
        assert not file.is_file() or b"not-to-be-written" not in file.read_bytes(), file
