"""What every tuner built on PEFT shares: add, load, save and merge one adapter of a model.

Tuners import this module at their top, so it imports torch and PEFT only when a function runs.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract import tuning
from swift_core.contract.errors import did_you_mean
from swift_core.contract.job import Job
from swift_plugin_runtime.loading.heads import heads_in
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.tuning.additions import closed_modules

WEIGHTS = "adapter_model.safetensors"

MAMBA = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
"""Model types for which PEFT refuses adapters on `out_proj`."""


FUSED = r"The following (rank|alpha)_pattern keys did not match any targeted module .*: \['[^',]*gate_up_proj'\]"
"""What PEFT says of the ranks that it gives fused experts itself, and does not ignore."""


def attach(model: Any, config: Any, name: str) -> Any:
    """The model with a new trainable adapter; a second one joins the first, and both are active."""
    import peft

    if not isinstance(model, peft.PeftModel):
        _refuse_nowhere(config)
        if heads_in(model):
            config.task_type = "SEQ_CLS"
            config.modules_to_save = sorted({*(config.modules_to_save or ()), *heads_in(model)})
        elif not hasattr(model, "prepare_inputs_for_generation"):
            config.task_type = None  # PEFT's wrapper of causal models asks for it; encoders have none
        with warnings.catch_warnings():  # PEFT 0.21 asks transformers by a name that is going away
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
            warnings.filterwarnings("ignore", FUSED)  # PEFT looks for them among layers, and fused experts are tensors
            warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")  # `merge` unties what it must
            with _refusals(model, config):
                return _told(peft.get_peft_model(model, config, adapter_name=name))
    before = _active(model)
    _refuse_strangers(config, model.peft_config[before[0]])
    _refuse_nowhere(config)
    with _refusals(model, config):
        model.add_adapter(name, config)
    model.base_model.set_adapter([*before, name])
    return _told(model)


ALONE = {
    "ADALORA": "it shares out one budget of ranks",
    "LN_TUNING": "both would train the same norms",
    "TRAINABLE_TOKENS": "both would train rows of the same table",
}
"""Methods of PEFT of which a model takes one, and why."""


def _refuse_strangers(config: Any, there: Any) -> None:
    """PEFT wraps a model for one sort of adapter; another sort would be taken for the first, or fail midway."""
    if config.peft_type == there.peft_type and config.peft_type.value in ALONE:
        kind = config.peft_type.value
        raise SwiftError(f"A model takes one {kind.lower()} tuner: {ALONE[kind]}. Put what you want into one.")
    if config.peft_type != there.peft_type:
        one, other = (c.peft_type.value.lower() for c in (there, config))
        raise SwiftError(
            f"A model that PEFT has wrapped for {one} adapters takes no {other} beside them. Train them one after "
            "the other, or merge the first: --merge_lora true."
        )


def _refuse_nowhere(config: Any) -> None:
    targets = getattr(config, "target_modules", None)
    if targets is not None and not targets:
        kind = config.peft_type.value.lower()
        raise SwiftError(
            f"The model has no layer left for {kind}: those that it looks for are trained by another tuner, frozen by "
            "a flag, or not there. Leave one tuner out, or name the layers."
        )


@contextmanager
def _refusals(model: Any, config: Any) -> Iterator[None]:
    """Inside, what PEFT says of layers that are not there, or that it cannot adapt, is a SwiftError."""
    try:
        yield
    except ValueError as error:
        reason = str(error).strip().split("\n")[0]
        if not re.match("Target module|(All|No) modules were", reason):
            raise
        if block := re.match(r"Target module (\w+)\(", reason):
            reason = f"PEFT adapts single layers, and no {block[1]}."
        kind = config.peft_type.value.lower()
        raise SwiftError(f"The {kind} adapter does not fit: {reason[:300]} {what_there_is(model)}") from None


def refuse_adapted(model: Any, name: str) -> None:
    """SwiftError where PEFT has an adapter on the model already: PEFT computes some starts on plain models alone."""
    import peft

    if isinstance(model, peft.PeftModel):
        raise SwiftError(f"The start of {name} is computed on a model without adapters: name {name} before the others.")


def train_unfrozen(job: Job, model: Any) -> None:
    """Train every weight, save the parts that the freeze flags keep."""
    frozen = frozen_by(job)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(frozen is None or not frozen(name))


def _told(model: Any) -> Any:
    """The model, the kernel knowing for which parameters PEFT uses a copy from now on; LoRA in fewer passes."""
    from swift_plugin_runtime.tuning.low_rank import quicken

    quicken(model)
    tuning.replace(model, _passed_by(model))
    return model


def _passed_by(model: Any) -> Iterator[Any]:
    """Parameters that no forward pass reads any more, as PEFT reads a copy of them."""
    from peft.tuners.ln_tuning.layer import LNTuningLayer
    from peft.utils.other import ModulesToSaveWrapper

    for module in model.modules():
        if isinstance(module, LNTuningLayer):
            yield from module.base_layer.parameters()
        elif isinstance(module, ModulesToSaveWrapper) and module.active_adapters:
            yield from module.original_module.parameters()
            for name, other in module.modules_to_save.items():
                if name not in module.active_adapters:
                    yield from other.parameters()


def load(model: Any, folder: str, name: str, trainable: bool) -> Any:
    """The model with a saved adapter added under `name`; active, and trainable if asked.

    Raises SwiftError where the adapter holds weights that the model has no place for.
    """
    import peft

    config = peft.PeftConfig.from_pretrained(folder)
    config.inference_mode = not trainable
    config.base_model_name_or_path = None  # PEFT warns where it lies elsewhere, as what a hub or a GGUF file gave does
    model = attach(model, config, name)
    fill(model, folder, name)
    return model


def fill(model: Any, folder: str, name: str) -> None:
    """Give an adapter the weights that a folder holds. Raises SwiftError where the model has no place for some."""
    import peft
    from safetensors.torch import load_file

    result = peft.set_peft_model_state_dict(model, load_file(Path(folder, WEIGHTS)), adapter_name=name)
    strange = [k for k in getattr(result, "unexpected_keys", []) if k != "prompt_embeddings"]  # PEFT loads that apart
    if strange:
        raise SwiftError(f"The adapter {folder} does not fit this model: {strange[:3]} …")


def save(model: Any, folder: str, name: str, base: Any) -> bool:
    """Write a plain PEFT adapter into `folder`. base: id or path of the base model, for others to find."""
    config = copy.copy(model.peft_config[name])
    if getattr(config, "init_lora_weights", True) in ("eva", "gaussian", "orthogonal"):
        config.init_lora_weights = True  # a start that loading overwrites: nobody need draw it again
        config.eva_config = None
    write(folder, state(model, name), config, base)
    return True


def state(model: Any, name: str) -> dict[str, Any]:
    """The weights of one adapter under PEFT's names, whole, on the CPU."""
    import peft

    others = tuning.owned_by_others(model, name)
    own = {key: value for key, value in model.state_dict().items() if key not in others} if others else None
    # the frozen table below an adapter of the embedding is the base model's, not the adapter's
    held = peft.get_peft_model_state_dict(model, own, adapter_name=name, save_embedding_layers=False)
    return _apart({key: _plain(value) for key, value in held.items()})


def _apart(weights: dict[str, Any]) -> dict[str, Any]:
    """The same tensors, none sharing its memory with another: safetensors refuses those, and a run would be lost."""
    seen: set[int] = set()
    for key, value in weights.items():
        place = value.untyped_storage().data_ptr()
        weights[key] = value.clone() if place in seen else value
        seen.add(place)
    return weights


def write(folder: str, weights: dict[str, Any], config: Any, base: Any) -> None:
    """An adapter in PEFT's own form."""
    from safetensors.torch import save_file

    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(weights, Path(folder, WEIGHTS), metadata={"format": "pt"})
    config = copy.copy(config)
    config.inference_mode, config.base_model_name_or_path = True, str(base) if base else config.base_model_name_or_path
    config.save_pretrained(folder)


def take_out(model: Any, name: str) -> None:
    """Subtract s·B·A of an adapter from the frozen weights that it adapts, rounded once, as PEFT does at the start."""
    import torch

    with torch.no_grad():
        for module in model.modules():
            if name in getattr(module, "lora_A", {}):
                weight = module.get_base_layer().weight
                weight.copy_(weight.float() - module.get_delta_weight(name).float())


def below(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The part of a state whose names begin with `prefix`, without it."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def merge(model: Any, seed: int = 0) -> Any:
    """The base model with every active adapter folded into its weights.

    Sums are taken in float32. Where the weights have 16 bits, they are rounded stochastically by `seed`: rounding to
    the nearest would drop most of what a lightly trained adapter changes.
    """
    import peft
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(model, peft.PeftModel):
        return model  # an earlier tuner's merge has folded all of them
    _refuse_hidden_weights(model)
    _untie(model)
    for number, layer in enumerate(m for m in model.modules() if isinstance(m, BaseTunerLayer)):
        if not hasattr(layer, "unload_and_optionally_merge_module"):
            with _base_in_float32(layer, (seed, number)):
                layer.merge(safe_merge=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All adapters are already merged")
        return model.merge_and_unload(safe_merge=True)


def _untie(model: Any) -> None:
    """Where an adapter changes one of two tied weights, embedding or output head, each gets a weight of its own.

    The adapter was trained on one use of the table; merged into the shared table it would change the other as well.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = base_of(model)
    ends = [base.get_input_embeddings(), base.get_output_embeddings()] if hasattr(base, "get_output_embeddings") else []
    if None in ends or not any(isinstance(end, BaseTunerLayer) for end in ends):
        return
    table, head = (end.get_base_layer() if isinstance(end, BaseTunerLayer) else end for end in ends)
    if table.weight is head.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        for config in {id(c): c for c in (base.config, base.config.get_text_config())}.values():
            config.tie_word_embeddings = False


@contextmanager
def _base_in_float32(layer: Any, seed: tuple[int, ...]) -> Iterator[None]:
    """Inside, the weights that a layer of PEFT adapts are float32; then they are rounded to what they were."""
    from swift_plugin_runtime.rounding import HALF, rounded, seed_of

    types = {}
    for name, parameter in layer.get_base_layer().named_parameters():
        if parameter.dtype in HALF:
            types[name] = parameter.dtype
            parameter.data = parameter.data.float()
    yield
    for number, (name, parameter) in enumerate(layer.get_base_layer().named_parameters()):
        if name in types:
            parameter.data = rounded(parameter.data.float(), types[name], seed_of(*seed, number))


def _refuse_hidden_weights(model: Any) -> None:
    """A linear layer that computes its weight when asked would take the merge and forget it."""
    import torch

    for name, module in model.named_modules():
        base = getattr(module, "base_layer", None)
        if isinstance(base, torch.nn.Linear) and "weight" not in dict(base.named_parameters(recurse=False)):
            raise SwiftError(
                f"{name} holds no plain weight to merge into, but a quantized form of it. "
                "Merge into the model that was quantized: --quantizer none."
            )


def linear_targets(job: Job, model: Any, wanted: list[str], some: bool = False) -> Any:
    """Module names to adapt: `all-linear` means every linear layer of the parts that are not frozen.

    The output head is left out, as in the LoRA paper's follow-ups and in PEFT. Without a job or card every
    linear layer counts. Layers named otherwise are those that fit and are not frozen. some: whether it is enough that
    one of several names fits. Raises SwiftError where there is no such layer.
    """
    if wanted != ["all-linear"]:
        return named_targets(job, model, wanted, some)
    frozen = frozen_by(job)
    model = base_of(model)
    linear = dict(_linear_layers(model))
    closed = closed_modules(model)
    unfit = {name for name, m in linear.items() if id(m) in closed or _takes_no_adapter(model, name, m)}
    unfit |= {name for name in linear if name.split(".")[0] in heads_in(model)}
    if frozen is None and not unfit and _known_to_peft(model, linear):
        return "all-linear"
    unfit |= {name for name in linear if frozen and frozen(name)}
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    targets = [name for name, module in linear.items() if module is not head and name not in unfit]
    if not targets:
        raise SwiftError(f"{type(model).__name__} has no linear layer to adapt; name the layers: --target_modules.")
    return targets


def named_targets(job: Job, model: Any, wanted: list[str], some: bool = False) -> Any:
    """Names, or one regex, as PEFT takes them; the whole names of what is left where some of it is frozen.

    some: whether it is enough that one of several names fits. Raises SwiftError for a word that fits no module, or none
    that is not frozen.
    """
    rule = _fitting(base_of(model), wanted, some)
    names = [name for name, _ in _own_modules(base_of(model))]
    if isinstance(rule, str):
        fit = [name for name in names if re.fullmatch(rule, name)]
    else:
        fit = [name for name in names if any(f".{name}".endswith(f".{word}") for word in rule)]
    left = outside_frozen(job, fit, f"--target_modules {' '.join(wanted)}")
    return rule if len(left) == len(fit) else left


def _fitting(model: Any, wanted: list[str], some: bool) -> Any:
    """Names of modules, or the end of them, as a list; one word that is no name as a regular expression."""
    names = [name for name, _ in model.named_modules() if name]
    absent = [word for word in wanted if not any(f".{name}".endswith(f".{word}") for name in names)]
    if len(wanted) == 1 and absent:
        return _pattern(model, wanted[0], names)
    if absent and (not some or len(absent) == len(wanted)):
        raise SwiftError(f"--target_modules {' '.join(absent)[:200]}: no module has that name. {what_there_is(model)}")
    return wanted


def check_saved(model: Any, words: list[str]) -> None:
    """Raise SwiftError for a word of --modules_to_save that is the end of no module's name: PEFT would ignore it."""
    names = [name for name, _ in base_of(model).named_modules()]
    for word in words:
        if not any(name.endswith(word) for name in names):
            ends = sorted({name.rpartition(".")[2] for name in names if not name[-1:].isdigit()} - {""})
            near = did_you_mean(word, ends)
            raise SwiftError(
                f"--modules_to_save {word}: no module has that name.{near} It has {', '.join(ends)[:600]}."
            )


def _pattern(model: Any, word: str, names: list[str]) -> str:
    try:
        fits = any(re.fullmatch(word, name) for name in names)
    except re.error as error:
        raise SwiftError(f"--target_modules {word[:200]} is not a regular expression: {error}.") from None
    if not fits:
        spaces = " Put spaces between names." if "," in word else ""
        raise SwiftError(f"--target_modules {word[:200]} fits no module.{spaces} {what_there_is(model)}")
    return word


def what_there_is(model: Any) -> str:
    """The linear layers of a model by the last part of their names, with how many there are."""
    ends = Counter(name.rpartition(".")[2] for name, _ in _linear_layers(base_of(model)))
    listed = ", ".join(f"{name} ({count})" for name, count in ends.most_common(20))
    return f"The model's linear layers: {listed or 'none'}; or say all-linear."


def whole_modules(job: Job, model: Any, wanted: list[str]) -> list[str] | None:
    """`--modules_to_save` without modules that a flag freezes, as PEFT takes it: a name's end fits, too.

    None where none is wanted. SwiftError where all of them are frozen.
    """
    found = [name for name, _ in _own_modules(base_of(model)) if name.endswith(tuple(wanted))] if wanted else []
    left = outside_frozen(job, found, f"--modules_to_save {' '.join(wanted)}")
    return (wanted if len(left) == len(found) else left) or None


def outside_frozen(job: Job, names: list[str], said: str) -> list[str]:
    """Those of these modules or parameters that no freeze flag keeps out of training.

    said: the option that names them. SwiftError where they are all frozen.
    """
    flag_of = freezing(job)
    left = [name for name in names if not (flag_of and flag_of(name))]
    if names and not left:
        flag = flag_of(names[0]) if flag_of else None
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise SwiftError(
            f"{said} names frozen parts alone: {names[0]}{more}, which --{flag} true keeps as they are. Say --{flag} "
            "false, or name others."
        )
    return left


def hold_frozen(job: Job, model: Any) -> None:
    """Leave the model's own parameters in frozen parts untrained, whatever the tuners did to them (biases of LoRA).

    SwiftError where a tuner trains something of its own there, or where nothing is left to train.
    """
    flag_of = freezing(job)
    if flag_of is None:
        return
    own = tuning.tuning_of(model).parameters
    training = [(name, p, flag_of(own.get(name, name))) for name, p in model.named_parameters() if p.requires_grad]
    for name, parameter, flag in training:
        if flag in TOWER_FLAGS and own and name not in own:
            raise SwiftError(
                f"A tuner trains {name}, which lies in a part that --{flag} true keeps. Say --{flag} false."
            )
        if flag in TOWER_FLAGS:
            parameter.requires_grad_(False)
    if training and not any(p.requires_grad for _, p, _ in training):
        raise SwiftError(f"All that would train is frozen by --{training[0][2]} true; say --{training[0][2]} false.")


TOWER_FLAGS = ("freeze_vit", "freeze_aligner")
"""Flags of the parts beside the language model, in which no tuner may train against the flag."""


def _own_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, module) of every module, without what an earlier adapter put inside those that it wraps."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped = ""
    for name, module in model.named_modules():
        if wrapped and name.startswith(wrapped):
            continue
        wrapped = f"{name}." if isinstance(module, BaseTunerLayer) else ""
        yield name, module


def _linear_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, module) of each linear layer; one that an earlier adapter wraps counts once, as the wrapper."""
    for name, module in _own_modules(model):
        if is_linear(module.get_base_layer() if hasattr(module, "get_base_layer") else module):
            yield name, module


def is_linear(module: Any) -> bool:
    """Whether a module computes x·W, plain or from quantized weights."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D) or type(module).__name__ in QUANTIZED


def untrained_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, module) of the model's own modules with a weight that no earlier tuner trains.

    A tuner that trains copies of modules chooses among these.
    """
    own = {id(module) for module in tuning.base_modules(model).values()}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if id(module) in own and weight is not None and not weight.requires_grad:
            yield name, module


def untrained_norms(model: Any) -> list[str]:
    """Dotted names of the model's own normalisations with a weight that no earlier tuner trains."""
    return [name for name, module in untrained_modules(model) if "norm" in type(module).__name__.lower()]


QUANTIZED = ("HQQLinear", "EetqLinear", "EETQLinear", "QuantizedLinear", "TorchQuantLinear", "AwqTorchQuantLinear")
"""Linear layers of quantizers that are not `torch.nn.Linear`."""


def _known_to_peft(model: Any, linear: dict[str, Any]) -> bool:
    """PEFT's own `all-linear` serves plain transformers models, and then reads well in adapter_config.json."""
    import transformers

    plain = not any(type(module).__name__ in QUANTIZED for module in linear.values())
    return isinstance(model, transformers.PreTrainedModel) and plain


def _takes_no_adapter(model: Any, name: str, module: Any) -> bool:
    """Linear layers that only look like one: routers of experts, which return more than a tensor, and the output
    projection of Mamba's blocks, whose kernel reads the weight past the adapter (PEFT refuses it)."""
    router = type(module).__module__.startswith("transformers.models.")
    return router or (name.endswith("out_proj") and _model_type(model) in MAMBA)


def _model_type(model: Any) -> str:
    return getattr(getattr(model, "config", None), "model_type", "")


def frozen_by(job: Job) -> Callable[[str], bool] | None:
    """Whether --freeze_vit, --freeze_aligner and --freeze_llm keep a module or parameter out of training.

    None where no flag applies; see `freezing`.
    """
    flag_of = freezing(job)
    return None if flag_of is None else lambda name: flag_of(name) is not None


def freezing(job: Job) -> Callable[[str], str | None] | None:
    """The freeze flag that keeps a module or parameter out of training; None where no flag applies to the job.

    A name belongs to the part whose prefix fits it longest: an aligner may lie inside the vision tower, and is
    then trained or frozen by its own flag.
    """
    if job is None or not job.many("model"):
        return None
    modules, options = job.card.modules, training_options(job)
    parts = {
        "freeze_vit": modules.vision_tower + modules.audio_tower + modules.generator,
        "freeze_aligner": modules.aligner,
        "freeze_llm": modules.language_model,
    }
    flags = {prefix: flag for flag, prefixes in parts.items() for prefix in prefixes}
    kept = {prefix: flag if getattr(options, flag) else None for prefix, flag in flags.items()}
    if not any(kept.values()) or not (modules.towers() or options.freeze_llm):
        return None

    def flag_of(name: str) -> str | None:
        name = f"{name.removeprefix('base_model.model.')}."
        fitting = [prefix for prefix in kept if name.startswith(f"{prefix}.")]
        return kept[max(fitting, key=len)] if fitting else None

    return flag_of


def _active(model: Any) -> list[str]:
    active = model.base_model.active_adapter
    return list(active) if isinstance(active, list | tuple) else [active]


def _plain(value: Any) -> Any:
    value = value.full_tensor() if hasattr(value, "full_tensor") else value
    return value.detach().cpu().contiguous()
