"""Rejection sampling with a real model: what is kept, what a second run draws, and what a crash leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_testing.rewards import rewarding

from swift_core import SwiftError
from swift_core.contract.engine import Reply
from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.sample import Drawn, choose

QUESTIONS = [{"query": f"add {n} 1", "solution": "5", "source": "book"} for n in range(3)]


def sample(model, data, file, **options):
    """Run the job as the command line would."""
    told = {
        "model": model,
        "dataset": data,
        "output_file": str(file),
        "max_new_tokens": 6,
        "reward": ["mine=format"],
        "pattern": r"(?s).*[0-9a-m].*",
        **options,
    }
    job = prepare("sample", [Given(k, v, "test") for k, v in told.items()])
    return job.run(), job


def lines(file):
    """A JSONL file's rows."""
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def ends_soon(qwen2, tmp_path):
    """A copy of the tiny model that says any of a few letters and digits, or ends its answer, with equal chance."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(qwen2), AutoTokenizer.from_pretrained(qwen2)
    torch.nn.init.zeros_(model.lm_head.weight)
    allowed = {tokenizer.eos_token_id, *tokenizer("0 1 2 a b z x").input_ids}
    model.generation_config.suppress_tokens = [i for i in range(model.config.vocab_size) if i not in allowed]
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_keeps_the_best_as_training_rows(ends_soon, write_rows, tmp_path):
    data, file = write_rows(QUESTIONS), tmp_path / "new" / "best.jsonl"
    found, job = sample(ends_soon, data, file, num_return_sequences=8, keep=2, threshold=1.0, max_batch_size=16)
    kept = lines(file)
    assert found == {"file": str(file), "rows": 3, "kept": len(kept), "mean_reward": found["mean_reward"]}
    assert 0 < len(kept) <= 6 and 0 < found["mean_reward"] < 1
    for line in kept:
        row = to_row({k: v for k, v in line.items() if k not in ("reward", "rewards", "sample")})
        assert row.messages[0]["content"].startswith("add") and row.answer
        assert line["reward"] == 1.0 and line["rewards"] == {"mine": 1.0} and row.extra["source"] == "book"
    assert [line["where"][-2:] for line in lines(f"{file}.drawn")] == [":1", ":2", ":3"]
    assert str(file) in job.notes[-1]


def test_a_second_run_draws_only_what_is_missing(ends_soon, write_rows, tmp_path):
    data, file = write_rows(QUESTIONS[:2]), tmp_path / "best.jsonl"
    sample(ends_soon, data, file, num_return_sequences=8)
    before = lines(file)
    more = write_rows(QUESTIONS, "more.jsonl")
    found, job = sample(ends_soon, more, file, num_return_sequences=8)
    assert found["rows"] == 1 and "2 of 3 rows are done already" in " ".join(job.notes)
    assert lines(file)[: len(before)] == before
    assert {line["where"] for line in lines(f"{file}.drawn")[:2]} == {f"{data}:1", f"{data}:2"}


def test_a_row_without_a_good_answer_is_drawn_again_by_another_job_only(qwen2, write_rows, tmp_path):
    data, file = write_rows(QUESTIONS[:1]), tmp_path / "none.jsonl"
    for seed, rows in [(1, 1), (1, 0), (2, 1)]:
        found, _ = sample(qwen2, data, file, pattern="never", threshold=0.5, seed=seed)
        assert (found["rows"], found["kept"]) == (rows, 0)
    assert not file.exists() and found["mean_reward"] == 0


def test_a_torn_last_line_is_mended(ends_soon, write_rows, tmp_path):
    data, file = write_rows(QUESTIONS[:2]), tmp_path / "best.jsonl"
    sample(ends_soon, data, file, num_return_sequences=8)
    whole = file.read_bytes()
    journal = Path(f"{file}.drawn")
    journal.write_bytes(journal.read_bytes().split(b"\n")[0] + b"\n")
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    file.write_bytes(whole[: last + 20])  # killed in the middle of the second row's line
    found, _ = sample(ends_soon, data, file, num_return_sequences=8)
    assert found["rows"] == 1 and file.read_bytes() == whole  # the same seeds draw the same answers


def test_which_answers_are_chosen():
    job = prepare_options(keep=2, threshold=0.5)
    answers = [("a", 0.6, "stop"), ("", 1.0, "stop"), ("b", 0.9, "length"), ("c", 0.7, "stop"), ("c", 0.7, "stop")]
    answers += [("d", 0.4, "stop"), ("e", 0.7, "stop")]
    drawn = [Drawn(Reply(text, reason), {"r": mean}) for text, mean, reason in answers]
    drawn.append(Drawn(Reply("f", "stop"), {}, judged=False))
    assert [a.reply.text for a in choose(job, drawn)] == ["c", "e"]
    assert [a.reply.text for a in choose(prepare_options(keep=9, threshold=None), drawn[-2:])] == ["e"]


def on_the_first_row(rows, completions):
    """A reward that abstains on all answers but those to one question."""
    return [1.0 if "add 0" in row.messages[0]["content"] else None for row in rows]


def test_answers_on_which_every_reward_abstains_are_not_kept(ends_soon, write_rows, tmp_path):
    file = tmp_path / "best.jsonl"
    told = {"model": ends_soon, "dataset": write_rows(QUESTIONS), "output_file": str(file), "max_new_tokens": 6}
    told |= {"reward": ["unsure"], "num_return_sequences": 8}
    job = prepare("sample", [Given(k, v, "test") for k, v in told.items()], rewarding(on_the_first_row, "unsure"))
    found = job.run()
    assert {line["messages"][0]["content"] for line in lines(file)} == {"add 0 1"}
    assert found["mean_reward"] == 1.0 and [line["kept"] for line in lines(f"{file}.drawn")] == [1, 0, 0]


def prepare_options(**options):
    """An object with options, which is all that choosing asks of a job."""
    from types import SimpleNamespace

    return SimpleNamespace(options=SimpleNamespace(**options))


def test_what_cannot_be_sampled_is_refused(qwen2, write_rows, tmp_path):
    data = write_rows(QUESTIONS)
    with pytest.raises(SwiftError, match="--temperature 0 draws the same answer"):
        sample(qwen2, data, tmp_path / "x.jsonl", temperature=0)
    with pytest.raises(SwiftError, match=r"--output_file .* is a folder"):
        sample(qwen2, data, tmp_path)
    Path(tmp_path, "text.jsonl").write_text("not rows\n")
    with pytest.raises(SwiftError, match="is no file of samples"):
        sample(qwen2, data, tmp_path / "text.jsonl")
    told = [Given("model", qwen2, ""), Given("dataset", data, ""), Given("threshold", 0.5, "")]
    job = prepare("sample", told)
    with pytest.raises(SwiftError, match="--threshold compares rewards"):
        job.run()
