"""Tiny configurations of real model classes, by rules: field names and the small values that suit them.

`shrink.json` holds the rules. `scalars` go for every part of a model; `text_only` and `vision_only` for the
language model and for towers. A value replaces the class's own default only where that is a number;
`{"min": n}` keeps a smaller default. `families` holds what a model type needs beyond that.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

TOWERS = ("vision", "audio", "speech", "encoder_config", "vq_config", "talker", "code2wav", "token2wav")
"""A sub-configuration with one of these in its name or model type is not the language model."""

LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth", "encoder_layers", "layers")


@functools.cache
def rules() -> dict[str, Any]:
    """The rules as written in shrink.json."""
    return json.loads(resources.files(__package__).joinpath("shrink.json").read_text("utf-8"))


def tiny_config(config_class: Any, vocab_size: int, free_ids: Iterator[int], **changes: Any) -> Any:
    """A configuration of `config_class` with some hundred thousand parameters.

    vocab_size: of the tokenizer. free_ids: unused token ids, one for each special token that the
    configuration names. changes: nested values that win over the rules; `__defaults__` go to the constructor.
    """
    special = rules()["families"].get(config_class.model_type, {})
    config = config_class(**{**special.get("__defaults__", {}), **changes.pop("__defaults__", {})})
    _shrink(config, False)
    _name_tokens(config, free_ids)
    for values in (special, changes):
        _set(config, {k: v for k, v in values.items() if k != "__defaults__"})
    _set_vocabulary(config, vocab_size)
    return config_class(**_without_derived(config.to_dict()))


def parts_of(config: Any) -> dict[str, Any]:
    """The sub-configurations of a configuration, by attribute."""
    names = getattr(type(config), "sub_configs", {})
    return {n: part for n in names if hasattr(part := getattr(config, n, None), "to_dict")}


def _shrink(config: Any, tower: bool) -> None:
    layers = _shrink_lists(config)
    for field, value in list(vars(config).items()):
        small = _small(field, value, tower)
        if small is not None:
            setattr(config, field, small)
    for field, value in layers.items():
        setattr(config, field, value)
    _agree(config)
    for key, part in parts_of(config).items():
        _shrink(part, tower or any(word in f"{key} {part.model_type}" for word in TOWERS))


def _small(field: str, value: Any, tower: bool) -> Any:
    """The value that the rules give a field; None: leave it."""
    r = rules()
    if field in r["keep"] or isinstance(value, bool):
        return None
    if value is None:
        return r["none_fill"].get(field)
    if field in r["index_lists"] and isinstance(value, list):
        return sorted({min(i, 1) for i in value})
    if field in r["list_scale"] and isinstance(value, list):
        return [max(16, v * 64 // max(value)) for v in value]
    if not isinstance(value, int):
        return None
    rule = r["vision_only" if tower else "text_only"].get(field, r["scalars"].get(field))
    return min(rule["min"], value) if isinstance(rule, dict) else rule


def _shrink_lists(config: Any) -> dict[str, Any]:
    """Lists with one value per layer, cut to one layer per distinct combination, and the layer count they give."""
    values = vars(config)
    count = next((n for n in LAYER_COUNTS if isinstance(values.get(n), int)), None)
    layers = values.get(count, 0)
    skipped = rules()["index_lists"]
    lists = {k: v for k, v in values.items() if isinstance(v, list) and len(v) == layers > 2 and k not in skipped}
    if not lists:
        return {}
    rows = list(zip(*(map(json.dumps, v) for v in lists.values()), strict=True))
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    kept = sorted(first.values()) if len(first) > 1 else [0, 1]
    return {count: len(kept), **{field: [v[i] for i in kept] for field, v in lists.items()}}


def _agree(config: Any) -> None:
    """Fields that must fit each other: the picture its patches, multi-head latent attention's heads."""
    values = vars(config)
    if isinstance(values.get("patch_size"), int) and isinstance(values.get("image_size"), int):
        config.image_size = config.patch_size * rules()["image_patches"]
    if values.get("kv_lora_rank") and values.get("num_key_value_heads"):
        config.num_key_value_heads = config.num_attention_heads


def _without_derived(values: Any) -> Any:
    """The dictionary without what a configuration derives from the rest for itself."""
    if not isinstance(values, dict):
        return values
    return {k: _without_derived(v) for k, v in values.items() if k != "per_layer_config"}


def _name_tokens(config: Any, free_ids: Iterator[int]) -> None:
    """Give every special token that the configuration names a token id of its own; equal names share one."""
    given: dict[str, int] = {}
    for owner in (config, *_all_parts(config)):
        for field, value in list(vars(owner).items()):
            if field.endswith(("_token_id", "_token_index")) and isinstance(value, int | list):
                stem = field.removesuffix("_id").removesuffix("_index")
                if stem not in given:
                    given[stem] = next(free_ids)
                setattr(owner, field, given[stem] if isinstance(value, int) else [given[stem]])


def _all_parts(config: Any) -> Iterator[Any]:
    for part in parts_of(config).values():
        yield part
        yield from _all_parts(part)


def _set_vocabulary(config: Any, size: int) -> None:
    for owner in (config, config.get_text_config()):
        if isinstance(vars(owner).get("vocab_size"), int):
            owner.vocab_size = size


def _set(config: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        inner = getattr(config, name, None)
        if isinstance(value, dict) and hasattr(inner, "to_dict"):
            _set(inner, value)
        else:
            setattr(config, name, value)
