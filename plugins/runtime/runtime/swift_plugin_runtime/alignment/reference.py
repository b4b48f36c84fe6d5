"""What preference methods and reinforcement learning share: likelihoods and the reference model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.jobs.resume import RESUMED
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.alignment.laying import lay_as
from swift_plugin_runtime.batching.cutting import cut_of, joined_losses
from swift_plugin_runtime.batching.shared_rows import Groups, Join, called
from swift_plugin_runtime.loading.layers import keeps_logits
from swift_plugin_runtime.loading.modes import evaluating
from swift_plugin_runtime.options import training_options, zero_stage
from swift_plugin_runtime.training.fused_loss import logps_head, logps_in_head
from swift_plugin_runtime.training.masters import lift
from swift_plugin_runtime.training.parts import copy_of
from swift_plugin_runtime.training.trainer import Trainer

REFERENCE_FILE = "reference.pt"
"""In a checkpoint: `numbers` of rows, int64, and the log-likelihoods that the reference finds of them, float32."""

NUMBER = "number"
"""Key of an encoded row: which one it is among all that the reference is asked about."""


def token_logps(model: Any, inputs: dict[str, Any], temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probabilities in nats, mask), both [rows, tokens - 1]: place t belongs to token t + 1.

    inputs: a batch with `labels`; the mask is 1 where the next token has a label, and the log-probability is
    0 elsewhere. temperature: the logits are divided by it, as they are when the tokens are drawn.
    """
    cut = cut_of(model)
    if "layout" in inputs and logps_head(model) is not None:
        return _logps_in_head(model, inputs, temperature)
    if cut is None:
        return labelled_logps(*trained_logits(model, inputs), temperature)
    others = {name: value for name, value in inputs.items() if name != "labels"}
    losses, _ = joined_losses(cut, model, others, inputs["labels"], temperature)
    return -losses, (inputs["labels"][:, 1:] != IGNORED).float()


def labelled_logps(
    logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `token_logps`, of logits [trained, vocabulary] that are there already. labels: [rows, tokens - 1]."""
    wanted = labels != IGNORED
    logps = -functional.cross_entropy(logits.float() / temperature, labels[wanted], reduction="none")
    return logps.new_zeros(labels.shape).masked_scatter(wanted, logps), wanted.float()


def _logps_in_head(model: Any, inputs: dict[str, Any], temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """As `token_logps`, of a flat row, in the head of the model."""
    inputs = dict(inputs)
    labels, layout, head = inputs.pop("labels")[:, 1:], inputs.pop("layout"), logps_head(model)
    assert head is not None
    wanted = labels != IGNORED
    places = layout.places[:, :-1][wanted]
    chosen = {"logits_to_keep": places} if keeps_logits(model) else {}
    with logps_in_head(*head, None if chosen else places, labels[wanted], temperature):
        logps = called(model, inputs, layout, **chosen).logits[0, :, 0]
    return logps.new_zeros(labels.shape).masked_scatter(wanted, logps), wanted.float()


def trained_logits(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits that predict the labelled tokens, [trained, vocabulary]; their labels, [rows, tokens - 1])."""
    inputs = dict(inputs)
    labels, layout = inputs.pop("labels")[:, 1:], inputs.pop("layout", None)
    wanted = labels != IGNORED
    if layout is not None:
        places = layout.places[:, :-1][wanted]
        if keeps_logits(model):
            return called(model, inputs, layout, logits_to_keep=places).logits[0], labels
        return called(model, inputs, layout).logits[0, places], labels
    if not keeps_logits(model):
        return model(**inputs, use_cache=False).logits[:, :-1][wanted], labels
    places = wanted.any(0).nonzero()[:, 0]
    return model(**inputs, logits_to_keep=places, use_cache=False).logits[wanted[:, places]], labels


class Reference:
    """The model as it stood when training began: where the divergence from it is measured.

    A fresh PEFT adapter changes nothing yet, so the same model with its adapters off is the reference and costs
    no memory. Where that does not hold (whole weights train, a trained adapter is continued, PiSSA moved the
    base weights) a frozen copy is kept. A resumed run has moved on already: its start is loaded once more.
    """

    def __init__(self, job: Job, model: Any):
        start = model if RESUMED not in job.memo else attach_tuners(job, load_model(job)[0])
        self.model: Any = None
        if not _adapters_are_neutral(start):
            self.model = (copy_of(model) if start is model else start).eval().requires_grad_(False)
            lay_as(self.model, model, training_options(job).fused_loss)

    def prepared(self, trainer: Trainer) -> Reference:
        """Itself, its copy of the model where the run wants it, its work shared as that of the trained model is.

        Raises SwiftError where DeepSpeed has taken the weights apart, of which it keeps no copy: where whole weights
        train, the options have been refused before; adapters are asked here whether they change anything yet.
        """
        if self.model is not None and zero_stage(trainer.job) == 3:
            raise SwiftError(
                "Without its adapters, this model is not what it is at the start (they are trained ones, or have moved "
                "its weights, as PiSSA does): its reference is a copy, and ZeRO 3 keeps none. Say --deepspeed zero2, "
                "--fsdp true, or begin with a fresh adapter."
            )
        if self.model is not None:
            trainer.split_work(self.model)
            self.model = trainer.accelerator.prepare_model(self.model, evaluation_mode=True)
        return self

    @contextmanager
    def of(self, model: Any, unwrapped: Any) -> Iterator[Any]:
        """The reference to call in this context, without gradients or dropout. model: as wrapped for training."""
        with torch.no_grad():
            if self.model is not None:
                yield self.model
            else:
                with evaluating(unwrapped), unwrapped.disable_adapter():
                    yield model


class Remembered:
    """What the reference says of each row, kept from the first time on: neither of them ever changes.

    Checkpoints hold it: asked anew in other batches, a resumed run would get other last digits. keeps: not where
    several processes would then call the model unequally often.
    """

    def __init__(self, keeps: bool):
        self.keeps = keeps
        self.known: dict[int, float] = {}

    def save(self, folder: str) -> None:
        """Write what is known into a checkpoint."""
        if self.known:
            numbers, values = (torch.tensor(list(side)) for side in (self.known.keys(), self.known.values()))
            torch.save({"numbers": numbers, "values": values}, Path(folder, REFERENCE_FILE))

    def load(self, folder: str) -> None:
        """Know again what a checkpoint holds."""
        file = Path(folder, REFERENCE_FILE)
        if self.keeps and file.is_file():
            held = torch.load(file, weights_only=True)
            self.known = dict(zip(held["numbers"].tolist(), held["values"].tolist(), strict=True))

    def of(self, numbers: list[int] | None, ask: Callable[[], torch.Tensor]) -> torch.Tensor:
        """What is known of all these rows, [rows]; else what `ask` gives, which is kept.

        numbers: of the rows; None: they have none, and nothing is kept.
        """
        if numbers is None or not self.keeps:
            return ask()
        if not self.known.keys() >= {*numbers}:
            values = ask()
            self.known.update(zip(numbers, values.tolist(), strict=True))
            return values
        return torch.tensor([self.known[number] for number in numbers])


def remembering(job: Job) -> Remembered:
    """The memory of a job's reference; it keeps nothing on several processes, which is said where epochs repeat."""
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if not alone and training_options(job).num_train_epochs > 1:
        job.say("the reference is asked in every epoch anew, as several processes learn")
    return Remembered(alone)


def number_rows(rows: list[dict[str, Any]]) -> None:
    """Give encoded rows numbers, by which the reference remembers them."""
    for number, row in enumerate(rows):
        row[NUMBER] = number


def numbered(join: Join, rows: list[dict[str, Any]], groups: Groups) -> dict[str, Any]:
    """The batch of rows, and in `numbers` those that they have."""
    numbers = [row[NUMBER] for row in rows if NUMBER in row]
    batch = join([{key: value for key, value in row.items() if key != NUMBER} for row in rows], groups)
    return {**batch, "numbers": numbers} if numbers else batch


def _adapters_are_neutral(model: Any) -> bool:
    """Whether the model with its adapters off is what it is now, and stays so: tried on a few tokens.

    Modules that PEFT did not put there (`--tuner lora reft`) are not off then; they would get a gradient.
    """
    if not hasattr(model, "disable_adapter"):
        return False
    count = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, min(9, count), device=model.get_input_embeddings().weight.device)[None]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        with_adapters = model(input_ids=ids, use_cache=False).logits
    with model.disable_adapter(), torch.enable_grad():
        without = model(input_ids=ids, use_cache=False).logits
    model.train(was_training)
    return torch.equal(with_adapters, without) and not _reaches_what_trains(model, without)


def _reaches_what_trains(model: Any, logits: torch.Tensor) -> bool:
    trained = [p for p in model.parameters() if p.requires_grad]
    if not logits.requires_grad or not trained:
        return False
    gradients = torch.autograd.grad(logits.float().sum(), trained, allow_unused=True)
    return any(gradient is not None for gradient in gradients)


class AlignmentTrainer(Trainer):
    """The runtime's trainer for methods whose loss is not the next token's.

    It keeps the reference model, and counts a method's own items (pairs, rows) over the accumulated batch and all
    ranks.
    """

    def __init__(self, job: Job, processor: Any, reference: Reference | None, **arguments: Any):
        super().__init__(job, processor, **arguments)
        if reference is not None and reference.model is not None and self.masters.lifted and self.masters.whole:
            lift(reference.model)  # so that both compute in the same precision
        self.reference = None if reference is None else reference.prepared(self)
        self.remembered = Remembered(False) if reference is None else remembering(job)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self.remembered.save(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.remembered.load(checkpoint)

    def count_items(self, batch: dict[str, Any]) -> int:
        """How many items of the method one batch holds; the loss is a mean over them."""
        raise NotImplementedError

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> torch.Tensor:
        return self.over_ranks([float(sum(self.count_items(b) for b in batch_samples))])[0]
