"""Runs in Megatron-Core's environment, without swift-core: `torchrun train.py WORK.json` trains on encoded rows.

The first process tells what happens on standard output, one JSON object a line: `log`, the figures of a step, or
`saved`, a folder that is whole.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import building
import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from megatron.core.pipeline_parallel import get_forward_backward_func

IGNORED = -100


def tell(**what: Any) -> None:
    """Tell the job what happened, once."""
    if dist.get_rank() == 0:
        print(json.dumps(what), flush=True)


class Rows:
    """Which rows a step takes. work: `rows`, `micro_batch` of a process, `accumulation`, `seed`.

    sides: how many conversations a row has: one, or the better and the worse answer of a pair.
    """

    def __init__(self, work: dict[str, Any]):
        self.rows = [json.loads(line) for line in Path(work["rows"]).read_text(encoding="utf-8").splitlines()]
        self.sides = len(self.rows[0]["sides"])
        self.micro, self.accumulation, self.seed = work["micro_batch"], work["accumulation"], work["seed"]
        self.shares = parallel_state.get_data_parallel_world_size()
        self.share = parallel_state.get_data_parallel_rank()
        self.each = self.micro * self.accumulation * self.shares
        self.per_epoch = -(-len(self.rows) // self.each)

    def step(self, number: int) -> tuple[list[list[Any]], int]:
        """(this process's micro-batches of rows, None where the epoch has none left; tokens of the longest row)."""
        epoch, place = divmod(number, self.per_epoch)
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(self.seed + epoch)).tolist()
        chosen: list[Any] = [self.rows[i] for i in order[place * self.each : (place + 1) * self.each]]
        length = longest(chosen)
        mine = (chosen + [None] * (self.each - len(chosen)))[self.share :: self.shares]
        return [mine[at : at + self.micro] for at in range(0, len(mine), self.micro)], length


def longest(rows: list[Any]) -> int:
    """Tokens of the longest conversation, filled up."""
    return building.filled(max(len(side["input_ids"]) for row in rows for side in row["sides"]))


def batch_of(rows: list[Any], sides: int, length: int, device: Any) -> dict[str, torch.Tensor]:
    """One micro-batch, filled up behind each row: `ids`, and of the next token `labels`, `weights` and whether it is
    `trained`, [rows, length].

    Of pairs, all better answers come first. `full` is the number of rows, or of pairs, that do not only fill up;
    `reference` holds what the reference says of each row, where it was asked, [rows].
    """
    full = sum(row is not None for row in rows)
    reference = [(row or {}).get("reference", [0.0] * sides)[side] for side in range(sides) for row in rows]
    rows = [row and row["sides"][side] for side in range(sides) for row in rows]
    ids, labels = torch.zeros(len(rows), length, dtype=torch.long), torch.full((len(rows), length), IGNORED)
    weights = torch.zeros(len(rows), length)
    for at, row in enumerate(rows):
        if row is not None:
            size = len(row["input_ids"])
            ids[at, :size] = torch.tensor(row["input_ids"])
            labels[at, : size - 1] = torch.tensor(row["labels"][1:])
            weights[at, : size - 1] = torch.tensor(row.get("loss_scale") or [1.0] * size)[1:]
    trained = labels != IGNORED
    made = {"ids": ids, "labels": labels.masked_fill(~trained, 0), "weights": weights * trained, "trained": trained}
    made |= {"full": torch.tensor(full, dtype=torch.int), "reference": torch.tensor(reference)}
    return {name: value.to(device) for name, value in made.items()}


def forward_step(loss: Any, batches: Iterator[dict[str, torch.Tensor]], model: Any) -> tuple[torch.Tensor, Any]:
    """(output of this process's layers, the function that makes a loss of the last layers' output).

    loss: of a batch and the losses of its tokens. The output is hidden states, [tokens, rows, width], or of the last
    layers the losses of the tokens, [rows, tokens]. Of each row there are the tokens of this process.
    """
    whole = next(batches)
    length, device = whole["ids"].shape[1], whole["ids"].device
    mine = building.places(length, device)[0]
    batch = {name: value[:, mine] if value.ndim == 2 else value for name, value in whole.items()}
    mask = building.causal_mask(length, device)
    out = model(batch["ids"], mine[None].expand_as(batch["ids"]), mask, labels=batch["labels"])
    return out, functools.partial(loss, batch)


Loss = tuple[torch.Tensor, torch.Tensor, Any]
"""(this process's share of the sum of losses, of what it is divided by, what the pass gives)"""


class OfWholeRows(torch.autograd.Function):
    """A figure of this process's tokens as that of whole rows: summed over the context group, [rows].

    Each process goes on with the same sum, so that its tokens have the gradient of one, not of all.
    """

    @staticmethod
    def forward(ctx: Any, share: torch.Tensor) -> torch.Tensor:
        """The sum, [rows]."""
        whole = share.clone()
        dist.all_reduce(whole, group=parallel_state.get_context_parallel_group())
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """As it is, [rows]."""
        return gradient


def token_loss(batch: dict[str, torch.Tensor], losses: torch.Tensor) -> Loss:
    """(Σ weight · loss, trained tokens, both for the log). losses: of each token, [rows, length]."""
    total, count = (losses.float() * batch["weights"]).sum(), batch["trained"].sum().int()
    return total, count.clone(), (total.detach(), count)


def answers(batch: dict[str, torch.Tensor], losses: torch.Tensor) -> Loss:
    """(0, 0, log-likelihood of each row's answer in nats, [rows]). losses: of each token, [rows, length]."""
    told = OfWholeRows.apply(-(losses.float() * batch["weights"]).sum(1))
    return losses.sum() * 0, batch["full"] * 0, told


def pair_loss(beta: float, batch: dict[str, torch.Tensor], losses: torch.Tensor) -> Loss:
    """(Σ −log σ(β · margin), pairs, both for the log), as in DPO (arXiv 2305.18290). losses: [rows, length]."""
    better, worse = (answers(batch, losses)[2] - batch["reference"]).chunk(2)
    each = -torch.nn.functional.logsigmoid(beta * (better - worse))  # ln 2 of a pair that only fills up
    total = each[: batch["full"]].sum()
    once = int(parallel_state.get_context_parallel_rank() == 0)  # all of a context group have the whole pairs
    return total, batch["full"] * once, (total.detach() * once, batch["full"] * once)


def mean_loss(told: list[Any], device: Any) -> float:
    """The loss over the trained tokens, or pairs, of all processes. told: what the losses gave for the log."""
    both = torch.zeros(2, device=device)
    if parallel_state.get_tensor_model_parallel_rank() == 0:
        for total, count in told:
            both += torch.stack([total, count.float()])
    dist.all_reduce(both)
    return float(both[0] / both[1])


class Training:
    """A model, its optimizer and its schedule. step: how many steps are done."""

    def __init__(self, work: dict[str, Any], rows: Rows):
        source, resumed = Path(work["resume"] or work["model"]), bool(work["resume"])
        more = {"calculate_per_token_loss": True, "finalize_model_grads_func": finalize_model_grads}
        self.work, self.source, self.step = work, source, 0
        self.model = building.build(source, work["sizes"], **more).train()
        if work["model"]:
            building.load(self.model, Path(work["model"]))
        self.loss = token_loss if rows.sides == 1 else functools.partial(pair_loss, work["beta"])
        self.rows = rows
        settings = DistributedDataParallelConfig(grad_reduce_in_fp32=True)
        self.wrapped = DistributedDataParallel(self.model.config, settings, self.model)
        self.optimizer = get_megatron_optimizer(self._optimizer_config(), [self.wrapped])
        self.schedule = OptimizerParamScheduler(self.optimizer, **self._schedule())
        if rows.sides > 1:
            self._ask_reference()
        if resumed:
            self._resume(source)

    def _optimizer_config(self) -> Any:
        said, config = self.work["optimizer"], self.model.config
        return OptimizerConfig(optimizer="adam", params_dtype=config.params_dtype, bf16=config.bf16, min_lr=0.0, **said)

    def _schedule(self) -> dict[str, Any]:
        said, decay = self.work["schedule"], self.work["optimizer"]["weight_decay"]
        return {
            "init_lr": 0.0,
            "max_lr": self.work["optimizer"]["lr"],
            "min_lr": 0.0,
            "lr_warmup_steps": said["warmup"],
            "lr_decay_steps": self.work["steps"],
            "lr_decay_style": said["style"],
            "start_wd": decay,
            "end_wd": decay,
            "wd_incr_steps": self.work["steps"],
            "wd_incr_style": "constant",
        }

    def state(self, loading: bool) -> dict[str, Any]:
        """What of a checkpoint this process has."""
        model = building.sharded(self.model)
        return {
            **model,
            "optimizer": self.optimizer.sharded_state_dict(model, is_loading=loading),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
        }

    def _resume(self, source: Path) -> None:
        state = dist_checkpointing.load(self.state(True), str(building.weights_folder(source)))
        building.put(self.model, state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step = state["step"]

    def save(self) -> None:
        """Write a checkpoint of this step beside its place, and tell when it is whole."""
        folder = Path(self.work["out"], f".saving-{self.step}")
        place = folder / f"iter_{self.step:07d}"
        if dist.get_rank() == 0:
            place.mkdir(parents=True, exist_ok=True)
        dist.barrier()
        dist_checkpointing.save(self.state(False), str(place))
        if dist.get_rank() == 0:
            (folder / building.LATEST).write_text(str(self.step), encoding="utf-8")
            shutil.copyfile(self.source / building.SETTINGS, folder / building.SETTINGS)
        dist.barrier()
        tell(saved=str(folder), step=self.step)

    def _ask_reference(self) -> None:
        """Note of every row what the model says of its answers before it learns: where the last layers are."""
        rows, device = self.rows, next(self.model.parameters()).device
        for at in range(0, len(rows.rows), rows.micro):
            group = rows.rows[at : at + rows.micro]
            length, filled = longest(group), group + [None] * (rows.micro - len(group))
            for told in self._pass([batch_of(filled, rows.sides, length, device)], answers, True):
                for row, likelihoods in zip(group, told.reshape(rows.sides, -1).T.tolist(), strict=False):
                    row["reference"] = likelihoods

    def _pass(self, batches: list[Any], loss: Any, forward_only: bool) -> Any:
        """What the losses of micro-batches give for the log, where the last layers are."""
        size, length = batches[0]["ids"].shape
        return get_forward_backward_func()(
            forward_step_func=functools.partial(forward_step, loss),
            data_iterator=iter(batches),
            model=self.wrapped,
            num_microbatches=len(batches),
            seq_length=length,
            micro_batch_size=size,
            forward_only=forward_only,
        )

    def take_step(self) -> dict[str, Any]:
        """One step; its figures."""
        batches, length = self.rows.step(self.step)
        device = next(self.model.parameters()).device
        self.wrapped.zero_grad_buffer()
        self.optimizer.zero_grad()
        rate = self.optimizer.param_groups[0]["lr"]
        made = [batch_of(batch, self.rows.sides, length, device) for batch in batches]
        told = self._pass(made, self.loss, False)
        _, norm, _ = self.optimizer.step()
        self.schedule.step(increment=1)
        self.step += 1
        loss = mean_loss(told, device)
        return {"step": self.step, "loss": loss, "grad_norm": float(norm or 0.0), "learning_rate": rate}


def main() -> None:
    """Train from where the work begins to its last step."""
    work = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    building.start(work["sizes"], work["seed"])
    training = Training(work, Rows(work))
    while training.step < work["steps"]:
        figures = training.take_step()
        assert figures["loss"] == figures["loss"], f"The loss of step {training.step} is not a number."
        if training.step % work["logging_steps"] == 0 or training.step in (1, work["steps"]):
            tell(log=figures)
        if training.step % work["save_steps"] == 0 or training.step == work["steps"]:
            training.save()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
