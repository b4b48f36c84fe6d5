"""What transformers would refuse after the model is loaded, told before. No torch here.

The names and types of its arguments are read from its source, since importing it costs seconds.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from swift_core.contract.errors import did_you_mean
from swift_core.contract.job import Job

Schedule = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "reduce_lr_on_plateau",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
    "greedy",
]
"""transformers' SchedulerType."""

SETTINGS = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Schedules that need one of these in `lr_scheduler_kwargs`, and only one."""

BY_LOSS = ("reduce_lr_on_plateau", "greedy")
"""Schedules that follow the evaluation loss."""


def faults(o: Any, job: Job) -> list[str]:
    """What transformers would refuse in the options of a training job, a sentence each with what to do.

    o: the job's `TrainingOptions`.
    """
    options = (*_loggers(o), *_numbers(o), *_precision(o), *_schedule(o, job), *_best(o, job))
    return [*_strange_arguments(o.training_args), *options]


# -- --training_args ------------------------------------------------------------------------------------------
def _strange_arguments(said: dict[str, Any]) -> Iterator[str]:
    """Keys that transformers does not know, and values of another type."""
    from pydantic import TypeAdapter, ValidationError

    known = argument_types() if said else {}
    for key, value in said.items():
        if key not in known:
            yield f"--training_args: transformers.TrainingArguments has no {key!r}.{did_you_mean(key, known)}"
            continue
        try:
            TypeAdapter(known[key]).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            yield f"--training_args: {key} cannot be {str(value)[:60]!r}: {reason}."
    if said.get("dataloader_prefetch_factor") is not None and not said.get("dataloader_num_workers"):
        yield "--training_args: dataloader_prefetch_factor needs dataloader_num_workers beside it."


@functools.cache
def argument_types() -> dict[str, Any]:
    """The arguments of the installed transformers.TrainingArguments: name → type, `Any` where it is none of Python's.

    An enumeration is a Literal of its values.
    """
    parts = [_parsed(name) for name in ("trainer_utils.py", "training_args.py")]
    classes = [node for part in parts for node in part if isinstance(node, ast.ClassDef)]
    choices = {node.name: _members(node) for node in classes if _is_enumeration(node)}
    body = next(node.body for node in classes if node.name == "TrainingArguments")
    fields = [n for n in body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return {n.target.id: _type(n.annotation, choices) for n in fields if n.target.id[0] != "_"}  # type: ignore[union-attr]


def loggers() -> list[str]:
    """The names that transformers' `report_to` knows."""
    lines = _parsed("integrations/integration_utils.py")
    names = (
        n.value for n in lines if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "INTEGRATION_TO_CALLBACK"
    )
    return [ast.literal_eval(key) for found in names if isinstance(found, ast.Dict) for key in found.keys if key]


def _parsed(name: str) -> list[ast.stmt]:
    """The statements of a file of the installed transformers."""
    folder = Path(str(importlib.util.find_spec("transformers").origin)).parent  # type: ignore[union-attr]
    return ast.parse((folder / name).read_text(encoding="utf-8")).body


def _is_enumeration(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "ExplicitEnum" for base in node.bases)


def _members(node: ast.ClassDef) -> list[str]:
    values = [n.value for n in node.body if isinstance(n, ast.Assign)]
    return [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]


PLAIN = {"int": int, "float": float, "bool": bool, "str": str}


def _type(annotation: ast.expr, choices: dict[str, list[str]]) -> Any:
    """`float | None` as that type; an enumeration beside `str` as its values alone; anything else as `Any`."""
    words = {word.strip() for word in ast.unparse(annotation).split("|")}
    for word in words & choices.keys():
        return Literal[tuple(choices[word])]
    if not words <= {*PLAIN, "None"}:
        return Any
    found: Any = None
    for word in words - {"None"}:
        found = PLAIN[word] if found is None else found | PLAIN[word]
    return found | None if "None" in words else found


# -- options and what goes together -----------------------------------------------------------------------------
def _loggers(o: Any) -> Iterator[str]:
    known = [*loggers(), "none", "all"] if o.report_to else []
    for name in o.report_to:
        if name not in known:
            yield f"--report_to {name[:60]!r}: there is no such logger.{did_you_mean(name[:60], known)}"


def _numbers(o: Any) -> Iterator[str]:
    for name in ("num_train_epochs", "learning_rate", "weight_decay"):
        if math.isinf(getattr(o, name) or 0):
            yield f"--{name} must be finite."


def _precision(o: Any) -> Iterator[str]:
    if o.fp16 and o.bf16:
        yield "--fp16 and --bf16 exclude each other; choose one."


def _evaluates(o: Any, job: Job) -> bool:
    if "eval_strategy" in o.training_args:
        return bool(o.training_args["eval_strategy"] != "no")
    options = job.options
    return o.save_strategy != "no" and bool(options.val_dataset or options.split_dataset_ratio)


def _schedule(o: Any, job: Job) -> Iterator[str]:
    kind = o.training_args.get("lr_scheduler_type", o.lr_scheduler_type)
    if kind in BY_LOSS and not _evaluates(o, job):
        yield (
            f"--lr_scheduler_type {kind} follows the evaluation loss: say --val_dataset or --split_dataset_ratio, and "
            "a --save_strategy other than no."
        )
    wanted, given = SETTINGS.get(kind, ()), o.training_args.get("lr_scheduler_kwargs") or {}
    if wanted and isinstance(given, dict) and len([name for name in wanted if given.get(name) is not None]) != 1:
        example = f'{{"lr_scheduler_kwargs": {{"{wanted[0]}": VALUE}}}}'
        yield f"--lr_scheduler_type {kind} needs {' or '.join(wanted)}: --training_args '{example}'."


def _best(o: Any, job: Job) -> Iterator[str]:
    """The best checkpoint is known where each is evaluated; early stopping keeps it, too."""
    if o.best_by_benchmark:
        return
    wanted = "load_best_model_at_end" if o.load_best_model_at_end else "early_stopping_patience"
    if not getattr(o, wanted) or {"save_strategy", "eval_strategy", "save_steps", "eval_steps"} & {*o.training_args}:
        return
    if not _evaluates(o, job):
        yield (
            f"--{wanted} watches evaluations: say --val_dataset or --split_dataset_ratio, and a --save_strategy other "
            "than no."
        )
    elif o.save_strategy == "steps" and o.save_steps % (o.eval_steps or o.save_steps):
        yield (
            f"--{wanted} evaluates whatever is saved: --save_steps {o.save_steps} must be a multiple of --eval_steps "
            f"{o.eval_steps}."
        )
