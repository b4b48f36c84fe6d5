"""Sequence classification: a class, several classes or numbers for a whole text, read at its last token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_plugin_runtime.options import TrainingOptions

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.job import Job
from swift_core.contract.row import Row


@dataclass(kw_only=True, eq=False)
class SeqCls(TrainingOptions):
    """Sequence classification: one class, several at once, or numbers, from a column `label`; say --num_labels.

    label: a class number from 0 (single), a list of class numbers (multi), a number or a list of as many as
    there are outputs (regression). Classes may have names; their numbers follow the alphabet, or --class_names, and
    every checkpoint keeps them. What is classified is the conversation without any last answer.
    """

    swift_api = 1
    task: ClassVar[str] = "seq_cls"
    needs_answer = False
    capabilities = {
        "packing": Unsupported("each text is scored by itself, at its last token."),
        "padding_free": Unsupported("each text is scored by itself, at its last token."),
        "sequence": Unsupported("one token of a text is read, which one process alone would hold."),
    }

    problem_type: Literal["single", "multi", "regression"] = option(
        "single", "One class per text, any number of classes, or numbers.", aliases=("cls_task_type",)
    )
    class_names: list[str] = option(
        [], "Names of the classes in the order of their numbers; left out, the names in the rows by the alphabet."
    )

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.encoding.row_filter import usable
        from swift_plugin_runtime.scoring.trainer import build_scoring_trainer

        count = model.config.num_labels
        if self.problem_type == "single" and count < 2:
            raise SwiftError(
                "seq_cls tells classes apart: say how many with --num_labels, or --problem_type regression."
            )
        model.config.problem_type = PROBLEM_TYPES[self.problem_type]
        self._name_classes(job, model, rows)

        def labelled(part: list[Row]) -> list[Row]:
            return usable(job, self.numbered(part), lambda row: self.fault(row.label, count), "a usable label")

        train, held = labelled(rows), labelled(eval_rows) if eval_rows else None
        return build_scoring_trainer(job, model, processor, train, held, self, lambda row: [row.prompt()])

    def _name_classes(self, job: Job, model: Any, rows: Any) -> None:
        """Take the classes' names from the rows, and keep them in the lock and in the model's config."""
        from swift_plugin_seq_cls.labels import class_names

        count = model.config.num_labels
        if self.problem_type == "regression":
            return
        if not self.class_names:
            self.class_names = class_names(rows)
            if self.class_names:
                job.say("classes: " + ", ".join(f"{n} {name}" for n, name in enumerate(self.class_names))[:600])
        if not self.class_names:
            return
        if len(self.class_names) != count:
            listed = ", ".join(self.class_names[:10]) + " …" * (len(self.class_names) > 10)
            raise SwiftError(
                f"The labels name {len(self.class_names)} classes ({listed}): say --num_labels {len(self.class_names)}."
                f" It is {count}."
            )
        model.config.id2label = dict(enumerate(self.class_names))
        model.config.label2id = {name: number for number, name in enumerate(self.class_names)}

    def numbered(self, rows: list[Row]) -> list[Row]:
        """The rows with labels as the head's outputs."""
        from swift_plugin_seq_cls.labels import numbered

        return [numbered(row, self.problem_type, self.class_names) for row in rows]

    def fault(self, label: Any, count: int) -> str | None:
        """What is wrong with a label, given the number of classes or outputs."""
        from swift_plugin_runtime.encoding.row_filter import is_number

        if self.problem_type == "regression":
            values = label if isinstance(label, list) else [label]
            right = len(values) == count and all(map(is_number, values))
            wanted = "a number" if count == 1 else f"a list of {count} numbers"
        else:
            several = self.problem_type == "multi"
            values = label if several and isinstance(label, list) else [label]
            right = isinstance(label, list) == several and all(type(v) is int and 0 <= v < count for v in values)
            wanted = f"{'a list of class numbers' if several else 'a class number'} from 0 to {count - 1}"
        return None if right else f"seq_cls needs a column label that is {wanted} (--num_labels), found {label!r}."

    def items(self, batch: Any) -> int:
        """Texts in a batch."""
        return len(batch["sizes"])

    def losses(self, trainer: Any, model: Any, batch: Any) -> Any:
        """One loss per text; notes how often it is right, or how far off."""
        logits = trainer.scores(model, batch)
        losses, noted = LOSSES[self.problem_type](logits, [row.label for row in batch["rows"]])
        for name, values in noted.items():
            trainer.log_metric(name, values)
        return losses


def single(logits: Any, labels: list[int]) -> tuple[Any, dict[str, Any]]:
    """(-log p(class), shape [texts]; whether the likeliest class is right)."""
    import torch

    target = torch.tensor(labels, device=logits.device)
    losses = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    return losses, {"accuracy": (logits.argmax(1) == target).float()}


def multi(logits: Any, labels: list[list[int]]) -> tuple[Any, dict[str, Any]]:
    """(binary cross-entropy averaged over classes, [texts]; the share of classes, and of whole texts, right)."""
    import torch

    target = torch.zeros_like(logits)
    for row, classes in zip(target, labels, strict=True):
        row[classes] = 1.0
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
    right = ((logits > 0) == target.bool()).float()
    return losses, {"accuracy": right.mean(1), "exact": right.amin(1)}


def regression(logits: Any, labels: list[Any]) -> tuple[Any, dict[str, Any]]:
    """(squared error averaged over outputs, [texts]; the absolute error)."""
    import torch

    target = torch.tensor([v if isinstance(v, list) else [v] for v in labels], device=logits.device).float()
    return ((logits - target) ** 2).mean(1), {"absolute_error": (logits - target).abs().mean(1)}


Losses = Callable[[Any, list[Any]], tuple[Any, dict[str, Any]]]
LOSSES: dict[str, Losses] = {"single": single, "multi": multi, "regression": regression}
PROBLEM_TYPES = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "regression": "regression",
}
"""As transformers writes them into config.json."""
