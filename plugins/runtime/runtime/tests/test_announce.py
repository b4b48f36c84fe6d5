"""What a training job says before its first step is what is then trained."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from swift_testing.contracts import write_rows
from swift_testing.tiny import tiny_qwen2

from swift_core import run
from swift_core.jobs.announce import amount, parameters_of

ROWS = [{"query": f"What is {n} + {n}?", "response": "so " * (n % 5) + f"{n + n}."} for n in range(20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_qwen2(tmp_path_factory.mktemp("tiny"), [*ROWS[7].values()])


def said(folder: str, place: Any, command: str = "sft", **options: Any) -> tuple[dict[str, str], Any]:
    """(the lines of the job by their names, its trainer)."""
    place.mkdir(exist_ok=True)
    given = {"model": folder, "dataset": [write_rows(place, ROWS)], "template": "chatml", "tuner": ["lora"]}
    given |= {"device": "cpu", "output_dir": str(place / "out"), "save_strategy": "no", "max_steps": 1}
    trainer = run(command, **{**given, **options})["trainer"]
    lines = [re.fullmatch(r"(\w+): +(.*)", note) for note in trainer.job.notes]
    return {found[1]: found[2] for found in lines if found}, trainer


def test_lines_tell_what_is_trained(folder: str, tmp_path: Any) -> None:
    lines, trainer = said(folder, tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=3)
    lengths = [len(item["input_ids"]) for item in trainer.train_dataset]
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in trainer.model.parameters()) - trained
    assert lines["Model"] == f"{folder} (family qwen2), {amount(whole)} parameters, float32, cpu"
    assert lines["Data"] == f"20 rows, {sum(lengths):,} tokens (longest {max(lengths)}), none dropped"
    assert lines["Trains"] == f"lora, {amount(trained)} parameters, {100 * trained / whole:.3g} % of the model's"
    assert lines["Steps"] == "1, each of 6 rows (2 at once × 3 accumulated), learning rate 0.0001 (cosine)"
    assert [*lines][-4:] == ["Model", "Data", "Trains", "Steps"]


def test_what_is_dropped_and_held_out_is_counted(folder: str, tmp_path: Any) -> None:
    lengths = [len(item["input_ids"]) for item in said(folder, tmp_path / "a")[1].train_dataset]
    limit = sorted(set(lengths))[-2]
    over = sum(n > limit for n in lengths)
    held = [write_rows(tmp_path, ROWS[:3])]
    lines, _ = said(folder, tmp_path / "b", max_length=limit, val_dataset=held, max_steps=-1, num_train_epochs=2)
    assert lines["Data"].startswith(f"{20 - over} rows, ")
    assert lines["Data"].endswith(f" (longest {limit}), {over} dropped, 3 held out")
    assert lines["Steps"].startswith(f"{2 * (20 - over)} in 2 epochs, each of 1 row, ")


def test_what_is_not_known_yet_is_not_guessed(folder: str, tmp_path: Any) -> None:
    lazy, _ = said(folder, tmp_path / "a", lazy_tokenize=True)
    stream, _ = said(folder, tmp_path / "b", streaming=True)
    assert lazy["Data"] == "20 rows, encoded when their turn comes, their tokens not counted"
    assert stream["Data"] == "a stream: read and encoded while training runs, not counted"


def test_packs_and_whole_weights(folder: str, tmp_path: Any) -> None:
    lines, trainer = said(folder, tmp_path, packing=True, max_length=128, tuner=["full"])
    packs = len(trainer.train_dataset)
    assert 1 < packs < 20
    assert lines["Data"].startswith(f"20 rows in {packs} packs, ")
    assert lines["Trains"].endswith(" parameters, 100 % of the model's")
    assert lines["Steps"].startswith("1, each of 1 pack, learning rate 1e-05 ")


def test_rollouts_count_prompts(folder: str, tmp_path: Any) -> None:
    grpo = {"rlhf_type": "grpo", "reward": ["format"], "num_generations": 2, "max_completion_length": 4}
    lines, trainer = said(folder, tmp_path, "rlhf", **grpo, per_device_train_batch_size=2)
    lengths = [len(request.prompt["input_ids"]) for request in trainer.train_dataset]
    assert lines["Data"] == f"20 prompts, {sum(lengths):,} tokens (longest {max(lengths)}), none dropped"
    assert lines["Steps"].startswith("1, each of 2 prompts (2 at once), ")


class Packed(torch.nn.Module):
    """Two 4-bit numbers in a byte, as quantized layers hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.in_features, self.out_features = 64, 32
        self.register_buffer("qweight", torch.zeros(32, 32, dtype=torch.uint8))
        self.bias = torch.nn.Parameter(torch.zeros(32))


class Computed(Packed):
    """The same, with a weight that is made whenever it is asked for."""

    @property
    def weight(self) -> torch.Tensor:
        return torch.cat([self.qweight & 15, self.qweight >> 4], 1).float()


def test_shared_parameters_count_once_and_packed_ones_in_full() -> None:
    tied = torch.nn.Sequential(torch.nn.Embedding(50, 64), torch.nn.Linear(64, 50, bias=False))
    tied[1].weight = tied[0].weight
    assert parameters_of(tied) == 50 * 64
    for packed in (Packed(), Computed()):
        assert parameters_of(torch.nn.Sequential(tied, packed)) == 50 * 64 + 64 * 32 + 32


@pytest.mark.parametrize(
    ("count", "text"), [(960, "960"), (61_400, "61.4 k"), (134_515_008, "134.5 M"), (7_620_000_000, "7.62 B")]
)
def test_amounts(count: int, text: str) -> None:
    assert amount(count) == text
