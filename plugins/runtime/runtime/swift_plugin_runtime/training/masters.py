"""Where training keeps what it learns below the precision of bfloat16 or float16 weights: float32 master weights.

An update of AdamW is about as large as the learning rate, and at 1e-5 that is less than half a step of most bfloat16
weights: added to them it is lost. So every weight that trains in 16 bits has a float32 master (Micikevicius et al.,
arXiv 1710.03740), in one of these places:

    model      the model itself is float32 while it trains, and is rounded stochastically when it is saved
    optimizer  the optimizer works on float32 masters; the model has a copy of them, stochastically rounded after
               each step
    none       no masters: each update is added in float32 and the sum rounded stochastically. Takes the least memory;
               the rounding adds up to a random walk over thousands of steps
"""

from __future__ import annotations

import json
import types
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_plugin_runtime.options import deepspeed_settings, splits_weights, training_options
from swift_plugin_runtime.rounding import HALF, Noise, round_into, rounded_state, seed_of
from swift_plugin_runtime.training import parts, sharding
from swift_plugin_runtime.training.adamw import step_by_pieces

MASTERS_FILE = "master_weights.safetensors"
"""In a checkpoint: the float32 weights from which training goes on, under the model's names."""

BYTES = {
    "model": {"masters": 2, "gradients": 4, "optimizer": 8},
    "optimizer": {"masters": 4, "gradients": 2, "optimizer": 8},
    "none": {"masters": 0, "gradients": 2, "optimizer": 8},
    "": {"masters": 0, "gradients": 2, "optimizer": 4},
}
"""Where the masters are → bytes that training takes beside each 16-bit weight that trains: the master, or what a
float32 weight takes more; the gradient; the two moments of AdamW."""

EXTRA_BYTES = {where: sum(parts.values()) for where, parts in BYTES.items()}
"""The sum of `BYTES`."""

GIB = 2**30


def choose(job: Job, model: Any, free: float | None = None, device: Any = None) -> tuple[str, str]:
    """(where the masters are, the line that says so); both empty where no weight trains in 16 bits.

    free: bytes that can be had on the device, found out where left out. device: where the model will train, its own
    where left out. Raises SwiftError for an option that --fsdp or --deepspeed cannot follow.
    """
    asked = training_options(job).master_weights
    half = [p for p in model.parameters() if p.requires_grad and p.dtype in HALF]
    if not half:
        return "", ""
    if deepspeed_settings(job) is not None:
        return "", _left_to_deepspeed(asked)
    if splits_weights(job):
        if asked not in ("auto", "model"):
            raise SwiftError(f"--fsdp keeps the masters in the model's shards; leave out --master_weights {asked}.")
        return "model", "masters: float32 shards, gathered in the checkpoint's precision (FSDP2's policy)"
    count = sum(p.numel() for p in half)
    if asked != "auto":
        return asked, f"masters: {SAID[asked]}, as --master_weights asks"
    needed = count * EXTRA_BYTES["optimizer"]
    device = device or half[0].device
    free = free_bytes(device) if free is None else free
    if needed > free:
        return "none", (
            f"masters: {needed / GIB:.1f} GiB for gradients, moments and float32 masters are not free (but "
            f"{free / GIB:.1f}), so there are none: {SAID['none']}. Over thousands of steps that adds noise; a tuner "
            "such as --tuner lora, or --fsdp, takes less memory"
        )
    where = "model" if _computes_in_float32(job, model, half, device) else "optimizer"
    return where, f"masters: {SAID[where]}"


SAID = {
    "model": "the weights are float32 while they train, and stochastically rounded when they are saved",
    "optimizer": "float32 in the optimizer; the model has a stochastically rounded copy",
    "none": "each update is rounded stochastically",
}


def _left_to_deepspeed(asked: str) -> str:
    if asked != "auto":
        raise SwiftError(f"DeepSpeed keeps masters of its own; leave out --master_weights {asked}.")
    return "masters: DeepSpeed's own, where its bf16 or fp16 is on"


def _computes_in_float32(job: Job, model: Any, half: list[Any], device: torch.device) -> bool:
    """Whether the whole model becomes float32: on a CPU that gains nothing by less, where most of the model trains
    anyway; and for --fp16, whose loss scaling wants float32 gradients."""
    if training_options(job).fp16:
        return True
    if job.options.torch_dtype != "auto" or device.type != "cpu":
        return False
    most = 2 * sum(p.numel() for p in half) > sum(p.numel() for p in model.parameters() if p.is_floating_point())
    return most and not (multiplies_bfloat16() and all(p.dtype == torch.bfloat16 for p in half))


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16, and torch has oneDNN, which takes them: such products
    cost about half of float32's."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch does not say
    has = any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return has and torch.backends.mkldnn.is_available()


def free_bytes(device: torch.device) -> float:
    """Memory that can be had on a device; without end where that is not known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return float("inf")
    import psutil

    return float(min(psutil.virtual_memory().available, _left_in_group()))


def _left_in_group() -> float:
    """What a Linux control group (a container's limit) leaves; without end where there is none."""
    try:
        limit, used = (
            Path("/sys/fs/cgroup", name).read_text(encoding="utf-8").strip()
            for name in ("memory.max", "memory.current")
        )
        return float(limit) - float(used)
    except (OSError, ValueError):
        return float("inf")


def lift(model: Any, whole: bool = True) -> dict[tuple[Any, str], torch.dtype]:
    """Make weights and buffers in 16 bits float32, or only the weights that train; (module, key) → type before."""
    before: dict[int, torch.dtype] = {}
    lifted = {}
    for module in model.modules():
        for key, value in [*module._parameters.items(), *(module._buffers.items() if whole else ())]:
            if value is not None and (value.dtype in HALF or id(value) in before) and (whole or value.requires_grad):
                lifted[module, key] = before.setdefault(id(value), value.dtype)
                if not parts.is_part(value):  # a part becomes float32 where it is joined with the others
                    value.data = value.data.float()
    return lifted


class Masters:
    """The masters of one run, wherever they are.

    step: gives the number of optimizer steps taken, which seeds the rounding together with the run's seed.
    """

    def __init__(self, where: str, seed: int, step: Callable[[], int], whole: bool = True):
        self.where, self.seed, self.step, self.whole = where, seed, step, whole
        self.lifted: dict[tuple[Any, str], torch.dtype] = {}
        """(module, key) of each weight that is float32 while it trains → its type in the checkpoint."""
        self.names: dict[Any, str] = {}
        """Weights in 16 bits that train on masters beside them → their names."""
        self.values: dict[Any, torch.Tensor] = {}
        """Weights in 16 bits → their masters, once a gradient has reached them."""
        self._drawn = -1, Noise(0)

    def lift(self, model: Any) -> None:
        """Make the model float32, or what trains of it where something else mixes the types."""
        self.where, self.lifted = "model", lift(model, self.whole)

    def types_in(self, model: Any) -> dict[str, tuple[torch.dtype, str]]:
        """Name in the state of `model` → (type in the checkpoint, first name), of each weight that was lifted.

        Weights that are tied have one first name, by which both are rounded.
        """
        stored: dict[str, tuple[torch.dtype, str]] = {}
        first: dict[int, str] = {}
        for path, module in model.named_modules(remove_duplicate=False) if self.lifted else ():
            for key in dict.fromkeys((*module._parameters, *module._buffers, "weight")):  # Q-GaLore's is a property
                if (module, key) in self.lifted:
                    name = f"{path}.{key}".lstrip(".")
                    stored[name] = self.lifted[module, key], first.setdefault(id(getattr(module, key)), name)
        return stored

    def state_to_save(self, model: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The state of the model in the checkpoint's types."""
        return rounded_state(state, self.types_in(model), self.seed, self.step())

    def join(self, model: Any, optimizer: Any) -> str | None:
        """Let the optimizer work on float32 masters of the weights in 16 bits; what else comes of it, in words."""
        if hasattr(optimizer, "eval") or (_among_several() and type(optimizer) is not torch.optim.AdamW):
            self.lift(model)  # schedule-free writes into the weights between steps; others hold on to the weights
            return f"masters: this optimizer needs them in the model: {SAID['model']}"
        self.names = {p: name for name, p in model.named_parameters() if p.requires_grad and p.dtype in HALF}
        if not hasattr(optimizer, "around"):
            _step_on_masters(self, optimizer)
            return None
        optimizer.around = self.at_work
        if not optimizer.layerwise or self.where == "none":
            return None
        self.where = "none"
        return f"masters: this optimizer keeps nothing between two gradients, so there are none: {SAID['none']}"

    @contextmanager
    def at_work(self, gradients: dict[Any, torch.Tensor]) -> Iterator[None]:
        """Inside, the given weights and their gradients are float32; then the weights are rounded back.

        Each gradient has the shape of its weight.
        """
        copies = {p: p.data for p in gradients if p in self.names}
        for parameter, gradient in gradients.items():
            parameter.grad = None
            if parameter in copies:
                parameter.data = self.values.pop(parameter) if parameter in self.values else parameter.data.float()
            parameter.grad = gradient.to(parameter.dtype)
        yield
        for parameter in gradients:
            parameter.grad = None
            if parameter in copies:
                self._put_back(parameter, copies[parameter])

    def master(self, parameter: Any) -> torch.Tensor:
        """The weight's float32 master, made where it has none yet; without masters the weight. [...], as the weight."""
        if self.where == "optimizer" and parameter not in self.values:
            self.values[parameter] = parameter.detach().float().contiguous()
        return self.values.get(parameter, parameter.detach())

    def noise(self) -> Noise:
        """What decides in this step which way weights are rounded."""
        step = self.step()
        if self._drawn[0] != step:
            self._drawn = step, Noise(seed_of(self.seed, step))
        return self._drawn[1]

    def key(self, parameter: Any) -> int:
        """The weight's number in `noise`, by its name."""
        return zlib.crc32(self.names[parameter].encode())

    def _put_back(self, parameter: Any, copy: torch.Tensor) -> None:
        master, parameter.data = parameter.data, copy
        self._round_back(parameter, copy, master)

    def _round_back(self, parameter: Any, copy: torch.Tensor, master: torch.Tensor) -> None:
        round_into(copy, master, self.noise(), self.key(parameter))
        if self.where == "optimizer":
            self.values[parameter] = master

    def drop_frozen(self) -> None:
        """Forget the masters of weights that have stopped training (LISA, BAdam)."""
        for parameter in [p for p in self.values if not p.requires_grad]:
            del self.values[parameter]

    @contextmanager
    def loading(self, optimizer: Any) -> Iterator[None]:
        """Inside, float32 tensors stand in for the weights, so that torch leaves the optimizer's state what it was."""
        stands = {p: p.detach().float() for p in self.names}
        _exchange(optimizer, stands)
        yield
        _exchange(optimizer, {stand: parameter for parameter, stand in stands.items()})

    def to_keep(self, model: Any) -> dict[str, torch.Tensor]:
        """The float32 weights that a checkpoint needs beside its model, by name.

        Each has the shape of its parameter.
        """
        types = self.types_in(model)
        lifted = {name: p for name, p in model.named_parameters() if name in types and p.requires_grad}
        beside = {self.names[p]: value for p, value in self.values.items()}
        return {name: value.detach() for name, value in {**lifted, **beside}.items()}

    def type(self) -> torch.dtype | None:
        """The type that the lifted weights have in the checkpoint; None where none were lifted."""
        return next(iter(self.lifted.values()), None)

    def write_type(self, folder: str) -> None:
        """Correct the config.json of a saved model: it names the type in which the model trained."""
        file = Path(folder, "config.json")
        if self.lifted and file.is_file():
            config = {**json.loads(file.read_text(encoding="utf-8")), "dtype": str(self.type()).removeprefix("torch.")}
            file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def save(self, model: Any, folder: str, whole: dict[str, torch.Tensor] | None = None) -> None:
        """Write what `to_keep` gives, if anything, into a checkpoint. whole: the weights of a split model.

        Each tensor has the shape of its parameter.
        """
        from safetensors.torch import save_file

        kept = self.to_keep(model)
        if kept:
            kept = {name: (whole[name] if whole else value).cpu().contiguous() for name, value in kept.items()}
            save_file(kept, Path(folder, MASTERS_FILE), metadata={"format": "pt"})

    def load(self, model: Any, folder: str, split: bool = False) -> bool:
        """Go on from what `save` wrote; False where masters are missing there."""
        from safetensors.torch import load_file

        file = Path(folder, MASTERS_FILE)
        if not file.is_file():
            return not self.lifted and (self.where != "optimizer" or not self.names)
        kept = load_file(file)
        if split:
            sharding.load_weights(model, kept)
        else:
            self.take(model, kept)
        return True

    @torch.no_grad()
    def take(self, model: Any, kept: dict[str, torch.Tensor]) -> None:
        """Go on from what `to_keep` returned. kept: name to weight, in the shape of its parameter."""
        for name, parameter in model.named_parameters():
            if name not in kept:
                continue
            if parameter in self.names:
                self.values[parameter] = kept[name].to(parameter.device)
            else:
                parameter.copy_(kept[name])


def _among_several() -> bool:
    """Whether several processes train."""
    return torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1


def _exchange(optimizer: Any, places: dict[Any, torch.Tensor]) -> None:
    """Let a torch optimizer hold other tensors in the place of some of its own, with the same state."""
    for group in optimizer.param_groups:
        group["params"] = [places.get(p, p) for p in group["params"]]
    for old, new in places.items():
        if old in optimizer.state:
            optimizer.state[new] = optimizer.state.pop(old)


def _step_on_masters(masters: Masters, optimizer: Any) -> None:
    """Let an optimizer that takes all weights at once step on their masters; AdamW on a piece after the other."""
    inner, adamw = optimizer.step, type(optimizer) is torch.optim.AdamW

    def step(self: Any, closure: Any = None) -> None:
        masters.drop_frozen()
        trained = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        gradients = {p: p.grad for p in trained if p in masters.names or not adamw}
        for parameter in gradients:
            parameter.grad = None
        with nullcontext() if adamw else masters.at_work(gradients):
            inner()
        if adamw:
            step_by_pieces(self, gradients, masters.master, masters.noise(), masters.key)
        for parameter, gradient in gradients.items():
            parameter.grad = gradient

    optimizer.step = types.MethodType(step, optimizer)
