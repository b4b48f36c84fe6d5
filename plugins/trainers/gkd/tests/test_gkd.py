"""Distillation against TRL's divergence, text and pictures; the student's own answers; teachers that do not fit."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_plugin_gkd.trainer import jensen_shannon
from swift_plugin_runtime.batching.shared_rows import PaddedRows
from swift_plugin_runtime.rollouts.rollout import learning_row, roll_out
from swift_testing import ToldInvariants, tiny
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import assert_same_gradients, build_trainer, gradients, unsettle, with_pictures
from swift_testing.rollouts import telling

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue

ROWS = [
    {"query": "What is the answer?", "response": "It is here."},
    {"query": "add 1 2", "response": "3"},
    {"query": "天气怎么样?", "response": "今天天气很好。"},
    {"query": "hello", "response": "Paris city Paris"},
]


@functools.cache
def teacher_of(family: str) -> str:
    """A tiny model with other weights than the student, in a folder that is deleted at the end."""
    folder = tempfile.TemporaryDirectory(prefix="swift-test-")
    atexit.register(folder.cleanup)
    return str(getattr(tiny, f"tiny_{family}")(folder.name, seed=7))


@pytest.fixture(scope="module")
def teacher() -> str:
    """A tiny teacher of text."""
    return teacher_of("qwen2")


class Distilled(ToldInvariants):
    """Runs, saves and resumes; batches do not matter where all answers come from one side."""

    name = "gkd"
    rows = [{**row, "query": f"{row['query']} {number}"} for number in range(2) for row in ROWS]
    options = {"max_completion_length": 8}
    figures = ("loss", "grad_norm", "divergence")

    def job(self, command: str = "train", **options: Any) -> Any:
        """A job with a teacher."""
        return super().job(command, **{"teacher_model": teacher_of("qwen2"), **options})


class TestContract(Distilled):
    """The student's own answers, told in whole runs."""

    scoring = {"lmbda": 1.0}
    figures = (*Distilled.figures, "completions/length")


class TestGivenAnswers(Distilled):
    """Answers that the rows bring."""

    scoring = {"lmbda": 0.0}
    trajectory = "trajectory_given.json"

    def whole_run(self, folder: Path, size: int, processes: int = 1, **options: Any) -> Any:
        """A run that draws nothing."""
        return super().whole_run(folder, size, processes, **{"rollout_backend": None, **options})


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: Any) -> tuple[str, list[dict[str, Any]]]:
    """A teacher that reads pictures, and rows with some."""
    return teacher_of("qwen2_vl"), with_pictures(ROWS[:2], tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("kind", ["text", "vision"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_loss_and_gradients_equal_trl(kind: str, beta: float, teacher: str, pictured: Any, tmp_path: Path) -> None:
    """TRL's divergence on both models' logits of the whole batch, pictures included."""
    from trl.experimental.gkd import GKDTrainer

    if kind == "vision":
        model, source, rows = tiny_model("qwen2_vl"), *pictured
    else:
        model, source, rows = tiny_model("qwen2"), teacher, ROWS
    told = {"trainer": "gkd", "teacher_model": source, "beta": beta, "lmbda": 0.0, "distill_temperature": 0.7}
    trainer = build_trainer(model, rows, tmp_path, **told)
    batch = trainer.batch_of(list(trainer.train_dataset), 0)
    padded = PaddedRows(0)([row for row, _ in trainer.train_dataset])

    def theirs() -> torch.Tensor:
        inputs = {k: v for k, v in padded.items() if k != "labels"}
        with torch.no_grad():
            wanted = trainer.teacher(**inputs).logits[:, :-1]
        logits, labels = trainer.model(**inputs).logits[:, :-1], batch["labels"][:, 1:]
        return GKDTrainer.generalized_jsd_loss(logits, wanted, labels, beta, 0.7)

    assert_same_gradients(
        gradients(trainer.model, lambda: trainer.compute_loss(trainer.model, batch)),
        gradients(trainer.model, theirs),
    )


@pytest.mark.parametrize("kind", ["text", "vision"])
def test_loss_on_own_answers_equals_a_plain_computation(kind: str, pictured: Any, tmp_path: Path) -> None:
    """Eq. 1 over what the student wrote, each answer in passes of its own, from both models' probabilities."""
    family, rows = ("qwen2", ROWS) if kind == "text" else ("qwen2_vl", pictured[1])
    told = {"trainer": "gkd", "teacher_model": teacher_of(family), "beta": 0.3, "max_completion_length": 8}
    told |= {
        "lmbda": 1.0,
        "rollout_backend": "vllm" if kind == "text" else None,
    }  # answers of unequal lengths, where they are told
    trainer = build_trainer(tiny_model(family), rows, tmp_path, telling(Catalogue.installed()), **told)
    unsettle(trainer)
    prompts = [prompt for _, prompt in trainer.train_dataset]
    drawn = roll_out(
        trainer.job, trainer.policy_engine.current(), trainer.processing_class, prompts, trainer.sampling, 0
    )
    rows = [learning_row(rollout) for rollout in drawn]
    answers = []
    for row in rows:
        inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in row.items() if k != "labels"}
        with torch.no_grad():
            ours, theirs = (m.eval()(**inputs).logits[0].softmax(-1) for m in (trainer.model, trainer.teacher))
        for p, q in ((theirs[n - 1], ours[n - 1]) for n, label in enumerate(row["labels"]) if label != -100):
            mixture = 0.3 * p + 0.7 * q
            answers.append((0.3 * p * (p / mixture).log() + 0.7 * q * (q / mixture).log()).sum().item())
    loss = trainer.compute_loss(trainer.model, {**trainer.join(rows), "drawn": True})
    assert loss.item() == pytest.approx(sum(answers) / len(answers), rel=1e-3)


def test_divergence_worked_by_hand() -> None:
    """Teacher (1/2, 1/2), student (3/4, 1/4); and both alike."""
    student, teacher = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([[0.5, 0.5]]).log()
    assert jensen_shannon(student, teacher, 0).item() == pytest.approx(0.143841, abs=1e-5)
    assert jensen_shannon(student, teacher, 1).item() == pytest.approx(0.130812, abs=1e-5)
    middle = 0.5 * (0.5 * torch.tensor(0.8).log() + 0.5 * torch.tensor(4 / 3).log())
    middle = middle + 0.5 * (0.75 * torch.tensor(1.2).log() + 0.25 * torch.tensor(2 / 3).log())
    assert jensen_shannon(student, teacher, 0.5).item() == pytest.approx(middle.item(), abs=1e-6)
    assert jensen_shannon(student, student, 0.5).item() == pytest.approx(0, abs=1e-7)


def test_the_share_of_own_answers(teacher: str, tmp_path: Path) -> None:
    """λ 1 trains on answers of the student alone and needs no others; λ 0 on the given ones; else on both."""
    asked = [{"query": row["query"]} for row in ROWS]
    told = {"trainer": "gkd", "teacher_model": teacher, "max_completion_length": 8}
    trainer = build_trainer(tiny_model("qwen2"), asked, tmp_path, lmbda=1.0, **told)
    batch = trainer.batch_of(list(trainer.train_dataset), 0)
    assert batch["drawn"] and 0 < trainer.count_items(batch) <= 8 * 4
    with pytest.raises(SwiftError, match=r"rows.jsonl:1: the last message is not the assistant's"):
        build_trainer(tiny_model("qwen2"), asked, tmp_path, lmbda=0.5, **told)
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, lmbda=0.5, **told)
    drawn = [trainer.batch_of(list(trainer.train_dataset)[:1], number)["drawn"] for number in range(20)]
    assert 3 < sum(drawn) < 17
    assert not trainer.batch_of(list(trainer.train_dataset), 0, evaluating=True)["drawn"]


def test_the_student_comes_nearer(teacher: str, tmp_path: Path) -> None:
    told = {"trainer": "gkd", "teacher_model": teacher, "lmbda": 0.0, "per_device_train_batch_size": 4}
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, max_steps=10, learning_rate=3e-3, **told)
    before = {n: p.clone() for n, p in trainer.teacher.named_parameters()}
    trainer.train()
    lines = [line for line in trainer.state.log_history if "divergence" in line]
    assert lines[-1]["divergence"] < 0.8 * lines[0]["divergence"]
    assert all(torch.equal(before[n], p) for n, p in trainer.teacher.named_parameters())


def test_own_loss_is_added_on_given_answers(teacher: str, tmp_path: Path) -> None:
    told = {"trainer": "gkd", "teacher_model": teacher, "lmbda": 0.0}
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, **told)
    unsettle(trainer)
    batch = trainer.batch_of(list(trainer.train_dataset), 0)
    inputs = PaddedRows(0)([row for row, _ in trainer.train_dataset])
    alone = trainer.compute_loss(trainer.model, batch).item()
    trainer.method.sft_alpha = 0.5
    both = trainer.compute_loss(trainer.model, batch).item()
    assert both - alone == pytest.approx(0.5 * trainer.model(**inputs).loss.item(), rel=1e-4)


def test_teachers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match="gkd learns from a teacher"):
        build_trainer(tiny_model("qwen2"), ROWS, tmp_path, trainer="gkd")
    with pytest.raises(SwiftError, match=r"has other tokens than the student .* compares token by token"):
        build_trainer(tiny_model("qwen2"), ROWS, tmp_path, trainer="gkd", teacher_model=tiny_model("llama"))


def test_rows_that_are_too_long_are_dropped(teacher: str, tmp_path: Path) -> None:
    rows = [*ROWS, {"query": "a", "response": "word " * 90}]
    told = {"trainer": "gkd", "teacher_model": teacher, "max_length": 90, "max_completion_length": 8}
    trainer = build_trainer(tiny_model("qwen2"), rows, tmp_path, **told)
    assert len(trainer.train_dataset) == 4 and "dropped 1 of 5 training rows longer than 90" in trainer.job.notes[-1]
