"""Training on transformers' Trainer: our loss, whole checkpoints or none, a progress bar, logs and curves."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import logging
import os
import platform
import secrets
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import broadcast_object_list, gather_object
from torch.nn import functional

from swift_core import SwiftError
from swift_core.contract.components import Tuner, declared
from swift_core.contract.job import Job
from swift_core.contract.signatures import implementations
from swift_core.contract.tuning import tuning_of
from swift_core.jobs import checkpoints
from swift_core.jobs.announce import size_of
from swift_core.jobs.tuners import save_tuner
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.batching.cutting import cut_of, joined_losses, targets_of
from swift_plugin_runtime.batching.lending import Lending, needs_lending
from swift_plugin_runtime.batching.padding_free import LOOKED_AT, probe_rows
from swift_plugin_runtime.encoding.datasets import encode_rows
from swift_plugin_runtime.encoding.media_check import media_in, reaching
from swift_plugin_runtime.loading import hub
from swift_plugin_runtime.loading.layers import keeps_logits
from swift_plugin_runtime.loading.new_tokens import check_rows_train
from swift_plugin_runtime.loading.processor import tokenizer_of
from swift_plugin_runtime.options import deepspeed_settings, share_of, splits_weights, training_options, zero_stage
from swift_plugin_runtime.training import parts, sharded_saving, sharding, zero
from swift_plugin_runtime.training.announce import Announce, tokens_of
from swift_plugin_runtime.training.arguments import build_arguments, learning_rate, swanlab_callback
from swift_plugin_runtime.training.benchmarks import Benchmarks
from swift_plugin_runtime.training.callbacks import Progress, Speed, TunerSteps
from swift_plugin_runtime.training.feeding import choose_collator, feeding, longest_of, make_collator, training_rows
from swift_plugin_runtime.training.finite import check_loss, check_weights
from swift_plugin_runtime.training.fused_loss import fused_loss_in_head, head_for
from swift_plugin_runtime.training.masters import Masters, choose
from swift_plugin_runtime.training.memory import recomputes
from swift_plugin_runtime.training.postponed import postpone
from swift_plugin_runtime.training.signals import StopOnSignal
from swift_plugin_runtime.tuning.adapters import hold_frozen

postpone("datasets")  # before the name `transformers.Trainer` is first used, which imports it
from transformers.trainer_utils import seed_worker  # noqa: E402

STAGING = ".saving"
"""A checkpoint is written here and moved into place in one rename, so that a torn one is never seen."""

SCHEDULER = "scheduler.pt"
"""transformers' name of the file with the state of the learning rate's schedule."""


class Trainer(transformers.Trainer):
    """transformers' Trainer with a weighted token loss and checkpoints that are whole or absent.

    Batches may carry `loss_scale`. The loss is the weighted sum of token losses over the number of trained
    tokens in the whole accumulated batch, on all ranks.
    """

    answers = True
    """Whether what is trained answers questions, and so --eval_benchmarks can ask it."""
    unit = "rows"
    """What an item of the training data is called."""
    optimizer: Any
    """torch's, or accelerate's around it; None until it is made."""
    parameters_counted = 0
    """Parameters beside the embeddings; 0 until the first step."""

    def __init__(self, job: Job, processor: Any, **arguments: Any):
        hold_frozen(job, arguments["model"])
        check_rows_train(job, arguments["model"], tokenizer_of(processor))
        with cache_as_said(arguments["model"]):
            super().__init__(processing_class=processor, **arguments)
        os.environ.pop(zero.LEFT, None)
        if self.is_deepspeed_enabled:
            zero.fill_sizes(self.args.hf_deepspeed_config, self.model)
        self.job = job
        self.masters = self._hold_masters()
        self.share = share_of(job)
        """Which share of the rows this process trains on, and how many shares there are."""
        self.has_folders_of_its_own = self._has_folders_of_its_own()
        self.args.save_on_each_node = self.has_folders_of_its_own and not self._joins_state()
        self.sharded = splits_weights(job)
        self._split()
        self.staged = False
        self.saving = sharded_saving.Saving() if training_options(job).async_save else None
        """Saves that go on while training does; None where each is waited for."""
        self.shards_weights = self.saving is not None and sharded_saving.shards_weights(job)
        self._check_async_save()
        self.model_accepts_loss_kwargs = True  # makes the base class count trained tokens
        self.loss_is_scaled_for_ga = True
        self.remove_callback(transformers.PrinterCallback)
        self.remove_callback(transformers.ProgressCallback)
        self.add_callback(Announce(self))
        self.add_callback(Progress(self.args.output_dir))
        if "swanlab" in training_options(job).report_to:
            self.add_callback(swanlab_callback())
        self.add_callback(TunerSteps(job))
        if training_options(job).eval_benchmarks:
            self.add_callback(Benchmarks(self))
        if training_options(job).early_stopping_patience and not training_options(job).best_by_benchmark:
            self.add_callback(transformers.EarlyStoppingCallback(training_options(job).early_stopping_patience))
        self.stopped_by: int | None = None
        """The signal for which the run saved a checkpoint and stopped."""
        self.signals = StopOnSignal(self)
        if training_options(job).save_on_signal:
            self.add_callback(self.signals)
        self.speed = Speed()
        self.figures: dict[str, list[float]] = {}
        self.media_seen = False
        self.head: Any = None
        """The output head where it computes the loss itself."""

    def policy(self) -> Any:
        """The model that answers."""
        return self.model

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the model holds what a schedule-free optimizer means to keep."""
        return averaged(self.optimizer)

    def tokens(self, item: Any) -> int:
        """How many tokens an item of the training data has."""
        return tokens_of(item)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross-entropy of the trained tokens, weighted by `loss_scale` where the batch has it.

        In the outputs, logits are those of the trained tokens, or the sum of losses where head and loss are fused.
        """
        inputs = dict(inputs)
        labels, scale = inputs.pop("labels"), inputs.pop("loss_scale", None)
        trained = labels[:, 1:] != IGNORED
        weights = trained[trained].float() if scale is None else scale[:, 1:][trained]
        total, outputs = self._weighted_sum(model, inputs, labels, weights)
        count = max(1, weights.numel()) if num_items_in_batch is None else num_items_in_batch
        loss = total / count
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        if self.model.training:
            for term in self.job.hook.extra_loss(job=self.job, model=self.accelerator.unwrap_model(self.model)):
                loss = loss + term / self.args.gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss

    def _weighted_sum(self, model: Any, inputs: Any, labels: Any, weights: Any) -> tuple[torch.Tensor, Any]:
        """(Σ weight · loss over the trained tokens, the model's outputs)."""
        if self.head is None:
            losses, outputs = token_losses(model, inputs, labels)
            return (losses * weights).sum(), outputs
        targets, kernel, cut = targets_of(labels), training_options(self.job).fused_loss, cut_of(model)
        if cut is None:
            with fused_loss_in_head(self.head, kernel, targets, weights):
                outputs = model(**inputs, use_cache=False)
            return outputs.logits.sum(), outputs
        laid = torch.zeros_like(targets, dtype=weights.dtype).masked_scatter(targets != IGNORED, weights)
        mine = cut.part(targets, IGNORED)
        weights = cut.part(laid, 0.0)[mine != IGNORED]
        with cut.taking(inputs) as part, fused_loss_in_head(self.head, kernel, mine, weights):
            outputs = model(**part, use_cache=False)
        return cut.total(outputs.logits.sum()), outputs

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of one batch, its tokens counted; the first media must reach the model.

        Returns the loss, a scalar. Raises SwiftError where the loss is not finite.
        """
        self.speed.add(inputs)
        media = [] if self.media_seen else media_in(inputs)
        self.media_seen |= bool(media)
        if self.is_deepspeed_enabled:
            zero.keep_norm(model)
        with reaching(self.job, self.model, media) if media else contextlib.nullcontext():
            loss = super().training_step(model, inputs, num_items_in_batch)
        check_loss(loss, inputs, self.state.global_step, self.processing_class)
        return loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """transformers' estimate, 6 a token and parameter; the parameters are counted once, not in every step."""
        self.parameters_counted = self.parameters_counted or self.model.num_parameters(exclude_embeddings=True)
        main = getattr(self.model, "main_input_name", "input_ids")
        return 6 * inputs[main].numel() * self.parameters_counted if main in inputs else 0

    def train(self, *arguments: Any, **named: Any) -> Any:
        """As the base class; then signals go where they went before. SwiftError where the disk is too small."""
        _check_room(self)
        checkpoint = arguments[0] if arguments else named.get("resume_from_checkpoint")
        self._check_same_start(checkpoint)
        self._say_processes(checkpoint)
        logger = logging.getLogger("transformers.trainer_utils")
        logger.addFilter(_is_news)
        try:
            outcome = super().train(*arguments, **named)
            self._wait_for_save()
            return outcome
        finally:
            logger.removeFilter(_is_news)
            self.signals.leave()

    def _check_async_save(self) -> None:
        """Refuse --async_save where what is saved is more than shards hold, or where there are several folders."""
        if self.saving is None:
            return
        if type(self).save_model is not Trainer.save_model:
            raise SwiftError("--async_save: this method's checkpoints hold more than the model; leave it out.")
        if self.has_folders_of_its_own:
            raise SwiftError("--async_save needs an output folder that all machines share; leave it out, or share one.")
        if not self.shards_weights:
            self.job.say("--async_save: the tuner's own files are written at once, the optimizer's state in shards")

    def _say_processes(self, checkpoint: str | None) -> None:
        """Say where another number of processes wrote the checkpoint: a step then has another number of rows."""
        files = list(Path(checkpoint).glob("rng_state*.pth")) if checkpoint and not self.args.save_on_each_node else []
        if files and len(files) != self.args.world_size:
            self.job.say(
                f"{Path(str(checkpoint)).name} is of a run on {len(files)} processes, and this one is on "
                f"{self.args.world_size}: a step may have other rows, and the next ones come in another order"
            )

    def _check_same_start(self, checkpoint: str | None) -> None:
        """SwiftError where the processes would go on from different steps: each machine looks into its own folder."""
        step = checkpoints.state_of(Path(checkpoint)).get("global_step", 0) if checkpoint else 0
        steps = gather_object([step]) if self.args.world_size > 1 else [step]
        if len({*steps}) > 1:
            raise SwiftError(
                f"The machines hold different checkpoints: processes would go on from the steps {steps}. Say "
                f"--resume_from_checkpoint with one that all have (step {min(steps)} at most)."
            )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write a log line with the metrics since the last one; one about training says its tokens per second."""
        prefix = "eval_" if any(name.startswith("eval_") for name in logs) else ""
        if self.figures or self.args.world_size > 1:
            logs.update({prefix + name: value for name, value in self.averages().items()})
        if "loss" in logs:
            logs["tokens_per_second"] = round(self.speed.take() * self.share[1])
        super().log(logs, start_time)

    def best_checkpoint(self) -> str | None:
        """The checkpoint with the best evaluation, where the job keeps it; else None."""
        o = training_options(self.job)
        kept = o.load_best_model_at_end or o.early_stopping_patience or o.best_by_benchmark
        return self.state.best_model_checkpoint if kept else None

    @property
    def copies(self) -> int:
        """How many processes train on the same rows; more than one where they share the tokens of each."""
        return self.args.world_size // self.share[1]

    def agreed(self, value: Any) -> Any:
        """The value of the first of the processes that train on the same rows, on all of them; it is pickled."""
        if self.copies == 1:
            return value
        first = self.share[0] * self.copies
        return gather_object([value])[first]

    def from_first(self, value: Any) -> Any:
        """The first process's value, on all of them; it is pickled."""
        return broadcast_object_list([value])[0] if self.args.world_size > 1 else value

    def over_ranks(self, values: list[float]) -> torch.Tensor:
        """Each value summed over all processes, shape [values]."""
        local = torch.tensor(values, device=self.args.device, dtype=torch.float64).to(torch.float32)
        return self.accelerator.reduce(local, reduction="sum")

    def log_metric(self, name: str, values: torch.Tensor, count: float | None = None) -> None:
        """Add a tensor of values to the average shown as `name`; count: over how many, if not their number.

        values: any shape, summed.
        """
        figure = self.figures.setdefault(name, [0.0, 0.0])
        figure[0] += float(values.detach().sum())
        figure[1] += values.numel() if count is None else count

    def averages(self) -> dict[str, float]:
        """The figures noted since the last call, averaged over all ranks; every process must come here."""
        totals: dict[str, list[float]] = {}
        for figures in gather_object([self.figures]) if self.args.world_size > 1 else [self.figures]:
            for name, (value, count) in figures.items():  # a rank may lack one that another has
                total = totals.setdefault(name, [0.0, 0.0])
                totals[name] = [total[0] + value, total[1] + count]
        self.figures = {}
        return {name: total / count for name, (total, count) in totals.items() if count}

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """Evaluate with figures of its own, so that those of the training under way are kept apart."""
        held, self.figures = self.figures, {}
        if self.copies > 1:
            self.gather_function = self._gather_shares
        try:
            found: dict[str, float] = super().evaluate(*arguments, **named)
        finally:
            self.figures = held
        return found

    def _gather_shares(self, values: torch.Tensor) -> torch.Tensor:
        """The values [rows] of each share of the rows once; those that only filled up the last batch are left out."""
        gathered = self.accelerator.gather(values).view(self.args.world_size, -1)[:: self.copies].flatten()
        state = self.accelerator.gradient_state
        return gathered[: state.remainder] if state.end_of_dataloader and state.remainder > 0 else gathered

    def publish(self, folder: str) -> str:
        """Upload a checkpoint to the hub in use as --hub_model_id, from the first process; returns its address."""
        o = self.job.options
        if not self.is_world_process_zero():
            return str(o.hub_model_id)
        return hub.upload(folder, o.hub_model_id, o.use_hf, o.hub_token, training_options(self.job).hub_private_repo)

    def _get_dataloader(
        self,
        dataset: Any,
        description: str,
        batch_size: int,
        sampler_fn: Any = None,
        is_training: bool = False,
        **_: Any,
    ) -> Any:
        """As the base class makes it, which would load the package `datasets` only to find that rows are none of its.

        Our collators want whole rows, so there are no columns to remove either.
        """
        a = self.args
        streamed = isinstance(dataset, torch.utils.data.IterableDataset)
        seeds = functools.partial(seed_worker, num_workers=a.dataloader_num_workers, rank=a.process_index)
        loader = torch.utils.data.DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=None if streamed or sampler_fn is None else sampler_fn(dataset),
            drop_last=a.dataloader_drop_last and not streamed,
            collate_fn=self.data_collator,
            num_workers=a.dataloader_num_workers,
            worker_init_fn=seeds if is_training else None,
            pin_memory=a.dataloader_pin_memory,
            persistent_workers=a.dataloader_persistent_workers,
            prefetch_factor=a.dataloader_prefetch_factor,
        )
        return self._shared(loader)

    def _shared(self, loader: Any) -> Any:
        """The data loader of this process's share of the rows."""
        a, (rank, shares) = self.accelerator, self.share
        if isinstance(loader.dataset, torch.utils.data.IterableDataset):
            rank, shares = 0, 1  # a stream gives each process its own rows
        elif shares == a.num_processes:
            return a.prepare(loader)
        return prepare_data_loader(
            loader,
            a.device,
            num_processes=shares,
            process_index=rank,
            put_on_device=a.device_placement,
            rng_types=list(a.rng_types),
            dispatch_batches=False,
            even_batches=a.even_batches,
            use_seedable_sampler=a.use_seedable_sampler,
            data_seed=a.dataloader_config.data_seed,
            non_blocking=a.non_blocking,
        )

    def prediction_step(self, model: Any, inputs: Any, *_: Any, **__: Any) -> tuple[Any, None, None]:
        """The loss of one evaluation batch; logits are not kept."""
        with torch.no_grad():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None

    def create_optimizer(self, model: Any = None) -> Any:
        """The job's optimizer component, or transformers' AdamW."""
        if self.optimizer is None and self.job.many("optimizer"):
            self.optimizer = self.job.hook.create_optimizer(job=self.job, model=model or self.model)
        if self.optimizer is None:
            super().create_optimizer(model)
        if self.sharded:
            sharding.group_by_mesh(self.optimizer)
        if self.masters.where in ("optimizer", "none") and not self.masters.names:
            said = self.masters.join(self.model, self.optimizer)
            if said:
                self.job.say(said)
        return self.optimizer

    def _hold_masters(self) -> Masters:
        """The float32 masters of weights in 16 bits, said once; the model is float32 from here on if they are in it."""
        where, said = choose(self.job, self.model)
        if said:
            self.job.say(said)
        mixes = self.args.bf16 or self.args.fp16 or splits_weights(self.job)
        masters = Masters(where, self.job.options.seed, lambda: self.state.global_step, whole=not mixes)
        if where == "model":
            masters.lift(self.model)
        return masters

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write tuners, or the whole model where none saves itself, with processor and lock file."""
        folder = output_dir or self.args.output_dir
        self.accelerator.wait_for_everyone()  # whoever looks whether the folder is there has looked
        model = self.accelerator.unwrap_model(self.model)
        check_weights(model)
        if self.staged and self.shards_weights:
            return self._save_beside_shards(Path(folder))
        with self._whole_model(model):
            if self.args.should_save:
                Path(folder).mkdir(parents=True, exist_ok=True)
                save_trained(self.job, model, self.processing_class, folder)
                self.masters.write_type(folder)

    def _save_beside_shards(self, folder: Path) -> None:
        """What a checkpoint holds beside its weights, where these go into shards."""
        if self.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            self.processing_class.save_pretrained(folder)
            self.job.write_lock(folder)
            sharded_saving.write_rounding(folder, self.model, self.masters, self.state.global_step)

    def _has_folders_of_its_own(self) -> bool:
        """Whether a machine does not see the output folder of the first process; said once."""
        if self.args.world_size == 1:
            return False
        folder = Path(self.args.output_dir)
        mark = folder / self.from_first(f".seen-{secrets.token_hex(4)}")
        if self.is_world_process_zero():
            folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
        self.accelerator.wait_for_everyone()
        blind = [name for seen, name in gather_object([(mark.exists(), platform.node())]) if not seen]
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            mark.unlink()
        if blind:
            how = "the first process alone writes them" if self._joins_state() else "each machine writes its own"
            self.job.say(f"{', '.join(sorted({*blind}))}: not the first machine's output folder; checkpoints: {how}")
        return bool(blind)

    def _joins_state(self) -> bool:
        """Whether the first process alone has the whole state when it is saved."""
        return splits_weights(self.job) or deepspeed_settings(self.job) is not None

    def split_work(self, model: Any) -> None:
        """Let the job's strategies share the work of a model among the processes; each says how."""
        for line in self.job.hook.split_model(job=self.job, model=model, device=self.args.device):
            self.job.say(line)
        if zero_stage(self.job) == 3:
            zero.mark_leaves(model)
            if any(map(parts.is_part, model.parameters())):
                self.job.say(zero.split(model, self.args.hf_deepspeed_config))

    def _split(self) -> None:
        self.job.memo[sharding.GATHERED] = self.masters.type()
        self.split_work(self.model)
        if self.sharded:
            sharding.leave_whole(self.accelerator)

    def _whole_model(self, model: Any) -> Any:
        """A context in which the model's state is whole on the first process, however it is split, and in the
        checkpoint's precision. Of adapters on a split model, nothing else is made whole."""
        only = names_to_save(self.job, model) if self.sharded or zero_stage(self.job) == 3 else None
        if self.sharded:
            state = sharding.whole_weights(model, only)
        elif only is not None:
            state = zero.whole_weights(model, only)
        elif self.is_deepspeed_enabled:
            state = self.accelerator.get_state_dict(self.model_wrapped) or {}  # ZeRO 3: on the first process alone
        elif self.masters.lifted and self.args.should_save:
            state = model.state_dict()
        else:
            return contextlib.nullcontext()
        state = self.masters.state_to_save(model, state)
        others: dict[str, Any] = {} if only is None else {"save_pretrained": _refuse_the_whole}
        if only is None and zero_stage(self.job) == 3:
            others["get_parameter"] = state.__getitem__  # transformers asks for shapes, which parts of ZeRO 3 have not
        return sharding.answering(model, state_dict=lambda *_, **__: state, **others)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.staged and self.saving is not None:
            if self.args.should_save:
                torch.save(self.lr_scheduler.state_dict(), Path(output_dir, SCHEDULER))
            if self.shards_weights:
                return None
        lifted = self.masters.types_in(self.model) if self.sharded else {}
        whole = sharding.whole_weights(self.model, lifted) if lifted else None
        if self.args.should_save:
            self.masters.save(self.model, output_dir, whole)
        if self.staged and self.saving is not None:
            return None
        if not self.sharded:
            return super()._save_optimizer_and_scheduler(output_dir)
        state = sharding.whole_optimizer(self.model, self.optimizer.optimizer)
        with sharding.answering(self.optimizer, state_dict=lambda: state):
            return super()._save_optimizer_and_scheduler(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and Path(checkpoint, checkpoints.SHARDS).is_dir():
            return self._load_shards(checkpoint)
        if checkpoint is not None and not self.masters.load(self.model, checkpoint, self.sharded):
            self._say_rounded(checkpoint)
        if checkpoint is not None and not Path(checkpoint, "optimizer.pt").is_file() and not self.is_deepspeed_enabled:
            return self._begin_optimizer_anew(checkpoint)
        if not self.sharded:
            with self.masters.loading(self.optimizer.optimizer):
                return super()._load_optimizer_and_scheduler(checkpoint)
        load = functools.partial(sharding.load_optimizer, self.model, self.optimizer.optimizer)
        with sharding.answering(self.optimizer, load_state_dict=load):
            return super()._load_optimizer_and_scheduler(checkpoint)

    def _load_shards(self, checkpoint: str) -> None:
        inner = self.optimizer.optimizer
        there, precise = sharded_saving.load(self.model, inner, self.masters, checkpoint, self.sharded)
        if not Path(checkpoint, checkpoints.SHARDED).is_file():  # weights, and so their masters, are in files
            precise = self.masters.load(self.model, checkpoint, self.sharded)
        if not precise:
            self._say_rounded(checkpoint)
        if not there:
            return self._begin_optimizer_anew(checkpoint)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint, SCHEDULER), weights_only=True))

    def _say_rounded(self, checkpoint: str) -> None:
        self.job.say(f"{checkpoint} holds no float32 masters: training goes on from its rounded weights")

    def _begin_optimizer_anew(self, checkpoint: str) -> None:
        """The schedule goes on at the checkpoint's step; momenta are not there, as it was saved without them."""
        self.job.say(
            f"{checkpoint} was saved without the optimizer's state: its momenta begin anew, the schedule of "
            "the learning rate goes on"
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step\\(\\)`")
            for _ in range(checkpoints.state_of(Path(checkpoint)).get("global_step", 0)):
                self.lr_scheduler.step()

    def _load_best_model(self) -> None:
        """The best checkpoint is the run's outcome; nothing here uses a split model after that."""
        if not (self.sharded or self.saving):
            super()._load_best_model()

    def _clip_grad_norm(self, model: Any) -> Any:
        if self.sharded:
            self.accelerator.unscale_gradients()
            return sharding.clip_gradients(model.parameters(), self.args.max_grad_norm)
        return super()._clip_grad_norm(model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Nothing to do: the job loads a checkpoint's weights through the tuners that wrote them."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        final = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
        staging = Path(self.args.output_dir, STAGING)
        self._wait_for_save()
        self._note_best(final)
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)  # what a killed run left there
        self.staged = True
        try:
            with averaged(self.optimizer):
                super()._save_checkpoint(model, trial)
                if self.saving is not None:
                    return self._begin_save(staging / final.name, final)
            self._move_into_place(staging / final.name, final)
        except SwiftError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        except Exception as error:  # torch, safetensors and the system each report a full disk in their own way
            shutil.rmtree(staging, ignore_errors=True)
            raise _save_error(error, final) from error
        finally:
            self.staged = False

    def _begin_save(self, staged: Path, final: Path) -> None:
        """Write the shards of a checkpoint in the background; then it moves into place."""
        assert self.saving is not None
        optimizer = None if self.args.save_only_model else self.optimizer.optimizer
        state = sharded_saving.state_to_shard(self.model, optimizer, self.masters, self.shards_weights)
        self._name_best()
        best = self.state.best_model_checkpoint
        complete = functools.partial(self._complete, staged, final, best)
        self.saving.begin(state, staged / checkpoints.SHARDS, complete if self.args.should_save else _nothing)

    def _wait_for_save(self) -> None:
        """Wait until the checkpoint under way is in place. Raises SwiftError where it could not be written."""
        if self.saving is None:
            return
        try:
            self.saving.wait()
        except Exception as error:
            shutil.rmtree(Path(self.args.output_dir, STAGING), ignore_errors=True)
            raise _save_error(error, Path(self.args.output_dir, "checkpoint-*")) from error
        self.accelerator.wait_for_everyone()  # the first process puts it in place

    def _get_output_dir(self, trial: Any) -> str:
        return str(Path(self.args.output_dir, STAGING)) if self.staged else super()._get_output_dir(trial)

    def _note_best(self, final: Path) -> None:
        if self.state.best_global_step:
            self.state.best_model_checkpoint = str(final.with_name(f"checkpoint-{self.state.best_global_step}"))

    def _complete(self, staged: Path, final: Path, best: str | None) -> None:
        """Seal a checkpoint that is whole, give it its name, and delete what is too many. best: the one to spare."""
        state = staged / "trainer_state.json"
        state.write_text(state.read_text().replace(f"/{STAGING}/", "/"))
        checkpoints.put_in_place(staged, final)
        shutil.rmtree(staged.parent, ignore_errors=True)
        checkpoints.rotate(final, self.args.save_total_limit, best)

    def _name_best(self) -> None:
        best = self.state.best_model_checkpoint
        self.state.best_model_checkpoint = best.replace(f"/{STAGING}/", "/") if best else best

    def _move_into_place(self, staged: Path, final: Path) -> None:
        self.accelerator.wait_for_everyone()
        self._name_best()
        if self.args.should_save:
            self._complete(staged, final, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()
        place = self.from_first({"machine": platform.node(), "folder": str(final.parent.resolve())})
        if self.is_local_process_zero() and not final.exists():
            Path(self.args.output_dir, checkpoints.ELSEWHERE).write_text(json.dumps(place), encoding="utf-8")


@contextlib.contextmanager
def averaged(optimizer: Any) -> Iterator[None]:
    """What a schedule-free optimizer means to keep is in the model between `eval()` and `train()`."""
    inner = getattr(optimizer, "optimizer", optimizer)
    if hasattr(inner, "train") and hasattr(inner, "eval"):
        inner.eval()
        yield
        inner.train()
    else:
        yield


def _nothing() -> None:
    """What a process does when a save is done that another puts in place."""


def _save_error(error: Exception, final: Path) -> SwiftError:
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error) or _is_full(final.parent)
    older = [p.name for p in checkpoints.checkpoints(final.parent) if checkpoints.damage(p) is None]
    kept = "No earlier checkpoint exists; free space and start again."
    if older:
        kept = f"The checkpoints {', '.join(older)} are whole; free space and go on with --resume_from_checkpoint last."
    return SwiftError(f"{final} could not be written: {'the disk is full' if full else error}. {kept}")


def _is_full(folder: Path) -> bool:
    """Whether a disk has no room left: torch's writer tells of it in words of its own."""
    try:
        return shutil.disk_usage(folder).free < 1 << 20
    except OSError:
        return False


def token_losses(model: Any, inputs: dict[str, Any], labels: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """Losses of the trained tokens in order, shape [trained], and the model's outputs.

    Logits are computed for those positions alone where the batch is one flat row and the model can.
    """
    wanted = labels[:, 1:] != IGNORED
    cut = cut_of(model)
    if cut is not None:
        losses, outputs = joined_losses(cut, model, inputs, labels)
        return losses[wanted], outputs
    targets = labels[:, 1:][wanted]
    if labels.shape[0] == 1 and keeps_logits(model):
        inputs = {**inputs, "logits_to_keep": wanted[0].nonzero()[:, 0]}
        outputs = model(**inputs, use_cache=False)
        logits = outputs.logits[0]
    else:
        outputs = model(**inputs, use_cache=False)
        logits = outputs.logits[:, -labels.shape[1] : -1][wanted]  # virtual tokens may stand before the row
    return functional.cross_entropy(logits.float(), targets, reduction="none"), outputs


def save_trained(job: Job, model: Any, processor: Any, folder: str) -> None:
    """What training made, into `folder`: each tuner's files, else the whole model; then lock and processor."""
    tuners = job.many("tuner")
    saved = False
    for item in tuners:
        place = folder if len(tuners) == 1 else str(Path(folder, item.label))
        saved |= save_tuner(job, model, item, place)
    if not saved:
        job.hook.save_model(job=job, model=model, processor=processor, folder=folder)
    else:
        processor.save_pretrained(folder)
    job.write_lock(folder)


def names_to_save(job: Job, model: Any) -> set[str] | None:
    """Names of the tensors that the tuners of a model save, where they save all that training made; else None."""
    tuners = [item.component for item in job.many("tuner")]
    if any(declared(c, Tuner, "trains_whole_weights") or "save_tuner" not in implementations(c) for c in tuners):
        return None
    return {name for names in tuning_of(model).owned.values() for name in names}


def _refuse_the_whole(*_: Any, **__: Any) -> None:
    raise SwiftError(
        "No tuner of this job saves what it trained, and the model is split, so that the adapters alone were gathered. "
        "A tuner whose save_tuner leaves that to the whole model says `trains_whole_weights = True`."
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log record tells what the job has not said: on a resume it says itself which options differ."""
    return "do not match the ones in the" not in record.getMessage()


def _check_room(trainer: Trainer) -> None:
    """SwiftError where the disk has no room for the weights that train: better now than after the first hours."""
    folder = Path(trainer.args.output_dir)
    need = sum(size_of(p) * p.element_size() for p in trainer.model.parameters() if p.requires_grad)
    need *= 1 if training_options(trainer.job).save_only_model else 3  # AdamW keeps two numbers for each weight
    free = shutil.disk_usage(folder if folder.is_dir() else Path.cwd()).free
    if free < need and trainer.args.should_save:
        raise SwiftError(
            f"{folder} has {free / 1e6:,.1f} MB left, and one checkpoint takes about {need / 1e6:,.1f} MB. Make room, "
            "choose another --output_dir, or say --save_only_model true."
        )


@contextlib.contextmanager
def cache_as_said(model: Any) -> Iterator[None]:
    """Keep the `use_cache` of the model's config: transformers' Trainer sets it, and config.json would tell so."""
    config: dict[str, Any] = vars(model.config) if hasattr(model, "config") else {}
    said = {name: config[name] for name in config.keys() & {"use_cache"}}
    yield
    config.pop("use_cache", None)
    config.update(said)


def build_token_trainer(job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Trainer:
    """The trainer of next-token methods (pt, sft): rows encoded, packed where asked, batched flat or padded."""
    train = training_rows(job, rows, processor)
    held = encode_rows(job, eval_rows, processor, "evaluation rows") if eval_rows else None
    shown = rows.first(LOOKED_AT) if job.options.streaming else rows
    collator = choose_collator(job, model, processor, shown) or make_collator(job, model, processor)
    if needs_lending(job):
        collator = Lending(collator, probe_rows(job, shown, processor))
    head = head_for(model, training_options(job).fused_loss)
    again = recomputes(job, model, longest_of(job, train, processor))
    evaluation = training_options(job).save_strategy if held else "no"
    trainer = Trainer(
        job,
        processor,
        model=model,
        args=build_arguments(job, recompute=again, eval_strategy=evaluation, **feeding(job, train)),
        train_dataset=train,
        eval_dataset=held,
        data_collator=collator,
    )
    trainer.head = head
    return trainer


__all__ = [
    "Trainer",
    "build_arguments",
    "build_token_trainer",
    "learning_rate",
    "make_collator",
    "save_trained",
    "token_losses",
]
