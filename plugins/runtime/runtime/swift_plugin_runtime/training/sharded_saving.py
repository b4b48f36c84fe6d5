"""Checkpoints in shards (torch.distributed.checkpoint): each process writes its own part, while training goes on.

A step waits only until its tensors are copied to the CPU's memory. A thread writes them, and the processes meet for
that in a group of their own, so that nothing of it mixes with the training's messages. What is written stands beside
the checkpoint's place and moves there once every process has written its part.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.signatures import implementations
from swift_core.jobs.checkpoints import SHARDED, SHARDS
from swift_plugin_runtime.rounding import rounded_state
from swift_plugin_runtime.training import sharding

if TYPE_CHECKING:
    from swift_plugin_runtime.training.masters import Masters


class Saving:
    """The asynchronous saves of one run: at most one is under way."""

    def __init__(self) -> None:
        self.running: Future[Any] | None = None
        self.group: Any = None

    def begin(self, state: dict[str, Any], folder: Path, then: Callable[[], None]) -> None:
        """Copy `state` and write it into `folder` in the background; all processes must call.

        state: names to tensors, of any shape, whole or split. then: called in the background, in this process, once
        all processes have written; it must not talk to them.
        """
        from torch.distributed import checkpoint, is_initialized, new_group

        if is_initialized() and self.group is None:
            self.group = new_group(backend="gloo")
        alone = not is_initialized()
        written = checkpoint.async_save(
            state, checkpoint_id=str(folder), process_group=self.group, no_dist=alone, planner=_planner()
        )
        done: Future[Any] = Future()
        written.add_done_callback(lambda future: _follow(future, then, done))
        self.running = done

    def wait(self) -> None:
        """Wait for the save under way, if any. Raises whatever kept it from being written."""
        running, self.running = self.running, None
        if running is not None:
            running.result()


def _follow(written: Future[Any], then: Callable[[], None], done: Future[Any]) -> None:
    try:
        written.result()
        then()
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(None)


def _planner() -> Any:
    """What all processes hold alike is written by some of them each, not by the first alone."""
    from torch.distributed.checkpoint import DefaultSavePlanner

    return DefaultSavePlanner(dedup_save_to_lowest_rank=False)


def shards_weights(job: Job) -> bool:
    """Whether the weights themselves go into shards; tuners that save files of their own go on doing so."""
    return not any("save_tuner" in implementations(c.component) for c in job.many("tuner"))


def state_to_shard(model: Any, optimizer: Any, masters: Masters, weights: bool) -> dict[str, Any]:
    """What a checkpoint holds in shards, by name. All processes must call.

    optimizer: torch's, or None to leave its state out. weights: whether the model's are among it.
    """
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict

    state: dict[str, Any] = {}
    if weights:
        state["model"] = get_model_state_dict(model)
        beside = {masters.names[p]: value.detach() for p, value in masters.values.items()}
        state |= {"masters": beside} if beside else {}
    if optimizer is not None:
        state["optimizer"] = get_optimizer_state_dict(model, optimizer)
    return state


def write_rounding(folder: Path, model: Any, masters: Masters, step: int) -> None:
    """Note in what types the joined weights are to be, and what seeds their rounding: `join` reads it."""
    types = {
        name: [str(dtype).removeprefix("torch."), first] for name, (dtype, first) in masters.types_in(model).items()
    }
    noted = {"seed": masters.seed, "step": step, "types": types}
    (folder / SHARDED).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")


# -- reading ----------------------------------------------------------------------------------------------------
class Shards:
    """What the shards of a checkpoint hold."""

    def __init__(self, checkpoint: str | Path):
        from torch.distributed.checkpoint import FileSystemReader

        self.checkpoint = Path(checkpoint)
        self.reader = FileSystemReader(str(self.checkpoint / SHARDS))
        self.tensors = self.reader.read_metadata().state_dict_metadata

    def of(self, kind: str) -> dict[str, Any]:
        """Name → description of what is kept as `model`, `optimizer` or `masters`."""
        return {n.removeprefix(f"{kind}."): found for n, found in self.tensors.items() if n.startswith(f"{kind}.")}

    def read(self, state: dict[str, Any], partly: bool = False) -> None:
        """Fill the tensors of `state` in place, each process what it holds; all processes must call.

        partly: names that the shards lack stay as they are.
        """
        from torch.distributed import checkpoint, is_initialized

        checkpoint.load(
            state,
            storage_reader=self.reader,
            planner=checkpoint.DefaultLoadPlanner(allow_partial_load=partly),
            no_dist=not is_initialized(),
        )

    def whole(self, kind: str, names: Any) -> dict[str, torch.Tensor]:
        """These tensors in float32, whole, each in its own shape."""
        found = self.of(kind)
        state = {kind: {name: torch.empty(found[name].size, dtype=torch.float32) for name in names}}
        self.read(state)
        return state[kind]

    def float32(self) -> tuple[str, list[str]]:
        """(kind, names) of the float32 masters that the shards hold."""
        if beside := self.of("masters"):
            return "masters", list(beside)
        return "model", [n for n, found in self.of("model").items() if found.properties.dtype == torch.float32]


def load(model: Any, optimizer: Any, masters: Masters, checkpoint: str | Path, split: bool) -> tuple[bool, bool]:
    """Go on from a checkpoint in shards, under any number of processes; all must call.

    optimizer: torch's. Returns (whether the optimizer's state was there, whether no float32 master is missing).
    Raises SwiftError where weights of the model are not in the shards.
    """
    from torch.distributed.checkpoint.state_dict import (
        get_model_state_dict,
        get_optimizer_state_dict,
        set_model_state_dict,
        set_optimizer_state_dict,
    )

    shards = Shards(checkpoint)
    if there := bool(shards.of("optimizer")):
        state = get_optimizer_state_dict(model, optimizer)  # which takes a step of nothing, so it comes first
        shards.read({"optimizer": state}, partly=True)  # a weight that never had a gradient has no state
        if masters.names:
            _load_by_number(model, optimizer, masters, state)
        else:
            set_optimizer_state_dict(model, optimizer, state)
    if not shards.of("model"):
        return there, True
    weights = get_model_state_dict(model)
    _check_complete(checkpoint, weights.keys() - shards.of("model").keys())
    shards.read({"model": weights})
    set_model_state_dict(model, weights)
    return there, _load_masters(model, masters, shards, split)


def _load_by_number(model: Any, optimizer: Any, masters: Masters, state: dict[str, Any]) -> None:
    """Load a state by names as torch's optimizers have it, by numbers: their weights have masters beside them."""
    names = {p: name for name, p in model.named_parameters()}
    numbers = {names[p]: n for n, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    groups = [{**group, "params": [numbers[name] for name in group["params"]]} for group in state["param_groups"]]
    with masters.loading(optimizer):
        optimizer.load_state_dict(
            {"state": {numbers[name]: kept for name, kept in state["state"].items()}, "param_groups": groups}
        )


def _load_masters(model: Any, masters: Masters, shards: Shards, split: bool) -> bool:
    """Give the masters of this run, wherever they are, the float32 weights of the shards."""
    kind, there = shards.float32()
    wanted = {*masters.names.values()} if masters.where == "optimizer" else {*masters.types_in(model)}
    names = [name for name in there if name in wanted]
    if kind == "masters" or masters.where == "optimizer":
        kept = shards.whole(kind, names)
        if split:
            sharding.load_weights(model, kept)
        else:
            masters.take(model, kept)
    return bool(names) or not wanted


def join(model: Any, checkpoint: str | Path) -> dict[str, torch.Tensor]:
    """The state of `model` as the shards of a checkpoint have it: whole tensors, in the checkpoint's own types.

    Each has the shape that it has in the model. Raises SwiftError where the shards hold no weights, or other ones.
    """
    file = Path(checkpoint, SHARDED)
    if not file.is_file():
        raise SwiftError(f"{checkpoint} holds no weights in shards: there is nothing to join.")
    noted, shards = json.loads(file.read_text(encoding="utf-8")), Shards(checkpoint)
    types = {name: (getattr(torch, dtype), first) for name, (dtype, first) in noted["types"].items()}
    whole, found = model.state_dict(), shards.of("model")
    _check_complete(checkpoint, whole.keys() - found.keys())
    made: dict[Any, torch.Tensor] = {}  # weights that are tied in the model are one here, too
    for name, value in whole.items():
        made.setdefault(_place(value), torch.empty(value.shape, dtype=found[name].properties.dtype))
    state = {name: made[_place(value)] for name, value in whole.items()}
    shards.read({"model": state})
    return rounded_state(state, types, noted["seed"], noted["step"])


def _place(value: torch.Tensor) -> tuple[int, torch.Size]:
    """What tensors have in common that are one in memory."""
    return value.data_ptr(), value.shape


def _check_complete(checkpoint: str | Path, lacking: set[str]) -> None:
    if lacking:
        raise SwiftError(
            f"The shards of {checkpoint} lack weights of this model: {min(lacking)}, {len(lacking)} in all. Say the "
            "--model that was trained."
        )
