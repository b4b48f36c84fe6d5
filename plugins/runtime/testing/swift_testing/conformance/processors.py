"""A tiny real processor of any multimodal family that transformers has, made offline.

Its class comes from transformers' own tables, its image, video and audio parts from the shrunk configuration of
the model, its tokenizer from the family's template and from the tokens that the processor names.
`processors.json` holds what cannot be derived.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any

from swift_core.contract.cards import Family
from swift_testing.conformance.tiny_family import architecture, make_tokenizer
from swift_testing.shrink import parts_of, tiny_config

LITERAL = re.compile(r"""["'](<[^"'\s<>{}]{1,40}>|\[[A-Z_]{2,}\]|\]<\][a-z ]+\[>\[)["']""")
"""A special token that a processor's source names: "<|image_pad|>", "[IMG]"."""

TABLES = {
    "processor": ("processing_auto", "PROCESSOR_MAPPING_NAMES"),
    "image_processor": ("image_processing_auto", "IMAGE_PROCESSOR_MAPPING_NAMES"),
    "video_processor": ("video_processing_auto", "VIDEO_PROCESSOR_MAPPING_NAMES"),
    "feature_extractor": ("feature_extraction_auto", "FEATURE_EXTRACTOR_MAPPING_NAMES"),
}
"""A processor or part of one → transformers' module and table that name its class for a model type."""

PARTS = tuple(TABLES)[1:]


@functools.cache
def rules() -> dict[str, Any]:
    """Model type → what its processor needs beyond what is derived, as written in processors.json.

    processor: class name. tokens: named tokens of the tokenizer. image_processor, video_processor,
    feature_extractor, arguments: values for the parts and for the processor itself. ids: field of the
    configuration → token. one: modalities of which it takes one medium a row. config: values for the model's
    configuration.
    """
    return json.loads(resources.files("swift_testing").joinpath("processors.json").read_text("utf-8"))


def rule_of(card: Family) -> dict[str, Any]:
    """What processors.json says of a family: by its own name, else by the model type of its class."""
    rule: dict[str, Any] = rules().get(card.name) or rules().get(config_class(card).model_type, {})
    return rule


def config_class(card: Family) -> Any:
    """The configuration class of the family's architecture."""
    import transformers

    return getattr(transformers, architecture(card)).config_class


def processor_class(card: Family) -> Any:
    """The family's processor class. LookupError where transformers names none, ImportError where it needs more."""
    import transformers

    kind = config_class(card).model_type
    name = rule_of(card).get("processor") or _table("processor").get(kind)
    if name is None:
        raise LookupError(f"transformers has no processor for {kind}")
    return getattr(transformers, name)


def make_processor(card: Family) -> tuple[Any, dict[str, Any]]:
    """(processor, changes to the model's configuration that make it fit)."""
    from swift_plugin_runtime.loading.processor import assemble

    made, rule = processor_class(card), rule_of(card)
    tokenizer = _tokenizer(card, made, rule.get("tokens", {}))
    draft = tiny_config(config_class(card), len(tokenizer), iter(range(50)), **rule.get("config", {}))
    parts = {name: _part(name, draft, rule) for name in PARTS if name in made.get_attributes()}
    parts = {name: part for name, part in parts.items() if part is not None}
    arguments = {**_arguments(made, draft), **rule.get("arguments", {})}
    processor = assemble(made, tokenizer=tokenizer, **parts, **arguments)
    return processor, merged(rule.get("config", {}), _token_ids(draft, processor, rule.get("ids", {})))


# -- tokens -----------------------------------------------------------------------------------------------
def _tokenizer(card: Family, made: Any, named: dict[str, str]) -> Any:
    """A tokenizer with the template's tokens, those that the processor's source names, and its named ones."""
    literal = LITERAL.findall(inspect.getsource(sys.modules[made.__module__]))
    tokenizer = make_tokenizer(card, (*named.values(), *literal))
    tokenizer._set_model_specific_special_tokens(dict(named))
    tokenizer.init_kwargs.update(extra_special_tokens=dict(named))
    tokenizer.model_max_length = 16384
    return tokenizer


def _token_ids(config: Any, processor: Any, said: dict[str, str]) -> dict[str, Any]:
    """The configuration's fields that name a token of the processor → its id, nested as the configuration is."""
    ids: dict[str, Any] = {}
    for field, value in vars(config).items():
        if field in said:
            ids[field] = processor.tokenizer.convert_tokens_to_ids(said[field])
        elif re.search(r"token_(id|index)$", field) and isinstance(value, int | None):
            token = _token_id(re.sub(r"_(id|index)$", "", field), processor, written=value is not None)
            ids |= {} if token is None else {field: token}
    nested = {name: _token_ids(part, processor, said) for name, part in parts_of(config).items()}
    return {**ids, **{name: values for name, values in nested.items() if values}}


def _token_id(stem: str, processor: Any, written: bool) -> int | None:
    """The id of what a configuration calls `image_token`: as tokenizer or processor know it, or as it is written."""
    if stem in ("bos_token", "eos_token", "pad_token"):
        return None
    vocabulary = processor.tokenizer.get_vocab() if written else {}
    literal = vocabulary.get(f"<|{stem.removesuffix('_token')}|>")
    known = (_known(processor.tokenizer, stem), _known(processor, stem), literal)
    return next((i for i in known if isinstance(i, int)), None)


def _known(owner: Any, stem: str) -> Any:
    return getattr(owner, f"{stem}_id", None)


# -- parts ------------------------------------------------------------------------------------------------
def _part(name: str, config: Any, rule: dict[str, Any]) -> Any:
    """The image processor, video processor or feature extractor, sized for the shrunk model; None where absent."""
    made = _part_class(name, config.model_type, rule.get(f"{name}_class", ""))
    if made is None:
        return None
    if name == "feature_extractor":
        return made(**rule.get(name, {}))
    vision = next(_vision_parts(config), config)
    return made(**{**_sizes(made, vision), **rule.get(name, {})})


def _part_class(name: str, kind: str, said: str) -> Any:
    import transformers

    choice = said or _table(name).get(kind)
    if isinstance(choice, dict):
        choice = choice.get("torchvision" if has_torchvision() else "pil")
    elif choice and name == "image_processor" and not has_torchvision():
        choice += "Pil"
    if name == "video_processor" and not has_torchvision():
        return None
    return getattr(transformers, choice) if choice else None


def _table(name: str) -> dict[str, Any]:
    module, table = TABLES[name]
    return getattr(importlib.import_module(f"transformers.models.auto.{module}"), table)


def has_torchvision() -> bool:
    """Whether transformers finds torchvision, which video processors need."""
    return importlib.import_module("transformers.utils").is_torchvision_available()


def _vision_parts(config: Any) -> Iterator[Any]:
    """Sub-configurations of the picture tower, outermost first."""
    for name, part in parts_of(config).items():
        if "vision" in f"{name} {part.model_type}":
            yield part
        else:
            yield from _vision_parts(part)


def _sizes(made: Any, vision: Any) -> dict[str, Any]:
    """Patches and pictures as small as the tower takes."""
    patch = getattr(vision, "patch_size", None) or 14
    merge = getattr(vision, "spatial_merge_size", None) or 2
    sizes = {"patch_size": patch, "merge_size": merge}
    if isinstance(getattr(vision, "temporal_patch_size", None), int):
        sizes["temporal_patch_size"] = vision.temporal_patch_size
    sizes = {k: v for k, v in sizes.items() if isinstance(getattr(made, k, None), int)}
    size = getattr(made, "size", None) or {}
    side = getattr(vision, "image_size", None) or patch * 4
    if size.get("shortest_edge", 0) > 2000 or size.get("longest_edge", 0) > 5000:
        sizes["size"] = {"shortest_edge": (patch * merge) ** 2, "longest_edge": (patch * merge * 4) ** 2}
    elif size:
        sizes["size"] = dict.fromkeys(size, side)
    if getattr(made, "crop_size", None):
        sizes["crop_size"] = dict.fromkeys(made.crop_size, side)
    return sizes


def _arguments(made: Any, config: Any) -> dict[str, Any]:
    """Arguments of the processor that repeat facts of the model."""
    known = inspect.signature(made.__init__).parameters
    vision = next(_vision_parts(config), config)
    facts = {
        "patch_size": getattr(vision, "patch_size", None),
        "vision_feature_select_strategy": getattr(config, "vision_feature_select_strategy", None),
        "num_additional_image_tokens": 1 if vision.model_type.startswith("clip") else 0,
        "spatial_merge_size": getattr(config, "spatial_merge_size", None),
    }
    return {k: v for k, v in facts.items() if k in known and v is not None}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries as one; the second wins."""
    both = dict(one)
    for key, value in other.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both
