"""The divergence, and the trainer: batches of given answers, or of the student's own to the same questions."""

from __future__ import annotations

import math
import random
from typing import Any

import torch
from swift_plugin_runtime.alignment.laying import choose_join
from swift_plugin_runtime.alignment.reference import AlignmentTrainer, trained_logits
from swift_plugin_runtime.batching.shared_rows import Join
from swift_plugin_runtime.encoding.datasets import ENCODE_TOGETHER, EncodedRows, encode_some, fit, row_limit
from swift_plugin_runtime.loading.processor import tokenizer_of
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.rollouts.rollout import PolicyEngine, encode_prompts, learning_row, media_tokens, roll_out
from swift_plugin_runtime.training.arguments import build_arguments
from torch.nn import functional

from swift_core import SwiftError
from swift_core.contract.engine import Request
from swift_core.contract.job import Job
from swift_core.data.load import batches
from swift_core.inference.conversation import sampling
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model
from swift_core.templates.encode import IGNORED

TEACHER_OPTIONS = ("template", "torch_dtype", "device", "attn_impl", "use_hf", "trust_remote_code", "allow_pickle")
"""Options of the student's job that hold for the teacher too."""


def jensen_shannon(student: torch.Tensor, teacher: torch.Tensor, beta: float) -> torch.Tensor:
    """β·KL(teacher ‖ mixture) + (1 - β)·KL(student ‖ mixture) with mixture = β·teacher + (1 - β)·student; eq. 1.

    student, teacher: logits [tokens, vocabulary]. Returns nats per token, [tokens]. At the ends, where this is
    zero, its limits after division by β or 1 - β: KL(teacher ‖ student) at 0, KL(student ‖ teacher) at 1.
    """
    ours, theirs = student.float().log_softmax(-1), teacher.float().log_softmax(-1)
    if beta == 0:
        return divergence(theirs, ours)
    if beta == 1:
        return divergence(ours, theirs)
    mixture = torch.logaddexp(theirs + math.log(beta), ours + math.log1p(-beta))
    return beta * divergence(theirs, mixture) + (1 - beta) * divergence(ours, mixture)


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) of distributions given by their logarithms, [tokens]."""
    return functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)


class DistillationTrainer(AlignmentTrainer):
    """Batches bring rows and their prompts; with probability λ the student answers the prompts itself."""

    def __init__(self, job: Job, processor: Any, method: Any, teacher: Any, join: Join, **arguments: Any):
        self.join = join
        super().__init__(job, processor, None, **arguments)
        self.method = method
        self.teacher = self.accelerator.prepare_model(teacher, evaluation_mode=True)
        self.policy_engine = PolicyEngine(self, self.save_model)
        self.sampling = sampling(method, banned=media_tokens(self.model.config))

    def tokens(self, item: Any) -> int:
        """Those of the row with its answer, which holds its prompt; of the prompt where there is no answer."""
        row, prompt = item
        return super().tokens(prompt if row is None else row)

    def count_items(self, batch: dict[str, Any]) -> int:
        """Trained tokens in a batch."""
        return int((batch["labels"][:, 1:] != IGNORED).sum())

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The batches of one optimizer step, some with answers of the student, and how many tokens they train."""
        items = [batch["items"] for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        if self.method.lmbda:
            self.policy_engine.current()  # a server follows on all ranks; below, each rank may choose otherwise
        prepared = [self.batch_of(part, number) for number, part in enumerate(items)]
        return prepared, self._get_num_items_in_batch(prepared, device)

    def batch_of(self, items: list[Any], number: int, evaluating: bool = False) -> dict[str, Any]:
        """Given answers or drawn ones; which of them depends on seed, step, rank and number alone.

        evaluating: given ones, where there are any.
        """
        seed = ((self.args.seed * 100_003 + self.state.global_step) * 1009 + self.args.process_index) * 31 + number
        given, prompts = zip(*items, strict=True)
        if given[0] is not None and (evaluating or random.Random(seed).random() >= self.method.lmbda):
            return {**self.join(list(given)), "drawn": False}
        engine = self.policy_engine.current()
        drawn = roll_out(self.job, engine, self.processing_class, list(prompts), self.sampling, seed)
        self.log_metric("completions/length", torch.tensor([float(rollout.length) for rollout in drawn]))
        return {**self.join([learning_row(rollout) for rollout in drawn]), "drawn": True}

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean divergence over the trained tokens of the accumulated batch, on all ranks."""
        inputs = dict(inputs)
        drawn, scale = inputs.pop("drawn"), inputs.pop("loss_scale", None)
        student, labels = trained_logits(model, inputs)
        with torch.no_grad():
            teacher = trained_logits(self.teacher, inputs)[0]
        heat, shared = self.method.distill_temperature, min(student.shape[-1], teacher.shape[-1])
        losses = jensen_shannon(student[:, :shared] / heat, teacher[:, :shared] / heat, self.method.beta)
        self.log_metric("divergence", losses)
        wanted = labels != IGNORED
        if self.method.sft_alpha and not drawn:
            own = functional.cross_entropy(student.float(), labels[wanted], reduction="none")
            losses = losses + self.method.sft_alpha * own
        if scale is not None:
            losses = losses * scale[:, 1:][wanted]
        count = len(losses) if num_items_in_batch is None else num_items_in_batch / self.accelerator.num_processes
        loss = losses.sum() / count
        return (loss, {}) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, *_: Any, **__: Any) -> tuple[Any, None, None]:
        """The divergence on the given answers of held-out rows, or where they have none on the student's own."""
        batch = self._prepare_inputs(self.batch_of(inputs["items"], 0, evaluating=True))
        with torch.no_grad():
            return self.compute_loss(model, batch).detach(), None, None

    def train(self, *arguments: Any, **named: Any) -> Any:
        """As the base class; a server for rollouts ends with it, however it ends."""
        try:
            return super().train(*arguments, **named)
        finally:
            self.policy_engine.close()

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: drawing and the teacher cost more than the passes that could be counted."""
        return 0


def build_distillation_trainer(
    job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any, method: Any
) -> DistillationTrainer:
    """Rows and their prompts encoded, the teacher loaded."""
    train = encode_both(job, rows, processor, method, "training rows")
    held = encode_both(job, eval_rows, processor, method, "evaluation rows") if eval_rows else None
    teacher = load_teacher(job, method.teacher_model, processor)
    return DistillationTrainer(
        job,
        processor,
        method,
        teacher,
        choose_join(job, model, processor, rows, teacher=teacher),
        model=model,
        args=build_arguments(job, eval_strategy=training_options(job).save_strategy if held else "no"),
        train_dataset=train,
        eval_dataset=held,
        data_collator=lambda items: {"items": items},
    )


def encode_both(job: Job, rows: Any, processor: Any, method: Any, what: str) -> EncodedRows:
    """(row with its answer, its prompt as a request) of each row; None for the side that λ never uses.

    Raises SwiftError where no row is left.
    """
    prompts: dict[int, Request] = {}
    if method.lmbda:
        encoded = encode_prompts(job, rows, processor, method.max_completion_length, what)
        prompts = {id(prompt.row): prompt for prompt in encoded.items}
        rows = [row for row in rows if id(row) in prompts]
    if method.lmbda == 1 and not all(row.answer for row in rows):
        return EncodedRows([(None, prompts[id(row)]) for row in rows])
    limit, items = row_limit(job, processor), []
    for group in batches(rows, ENCODE_TOGETHER):
        for row, item in zip(group, encode_some(job, group, processor), strict=True):
            fitted = fit(item, limit, training_options(job).truncation_strategy, row.where)
            items += [] if fitted is None else [(fitted, prompts.get(id(row)))]
    if len(items) < len(rows):
        job.say(f"dropped {len(rows) - len(items)} of {len(rows)} {what} longer than {limit} tokens")
    if not items:
        raise SwiftError(f"No {what} are left: all {len(rows)} are longer than max_length {limit}.")
    return EncodedRows(items)


def load_teacher(job: Job, source: str, processor: Any) -> Any:
    """The teacher, frozen. SwiftError where its tokens are not the student's."""
    told = {name: getattr(job.options, name) for name in TEACHER_OPTIONS}
    told = {name: value for name, value in told.items() if value is not None}
    other = prepare("export", [Given(k, v, "teacher") for k, v in {"model": source, **told}.items()])
    teacher, its_processor = load_model(other)
    ours, theirs = (tokenizer_of(p).get_vocab() for p in (processor, its_processor))
    if ours != theirs:
        raise SwiftError(
            f"The teacher {source!r} has other tokens than the student ({len(theirs)} and {len(ours)} of them); gkd "
            "compares token by token. Take a teacher of the same family, or sft on answers that it writes."
        )
    return teacher.eval().requires_grad_(False)
