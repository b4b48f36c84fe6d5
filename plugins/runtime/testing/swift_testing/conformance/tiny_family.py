"""A tiny checkpoint of any family that transformers has: real class, random weights, its template's tokens.

`python -m swift_testing.conformance.tiny_family FAMILY FOLDER` writes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.cards import Family
from swift_testing.shrink import parts_of, tiny_config
from swift_testing.tiny import SAMPLE_TEXTS, build_tokenizer

RESERVED = tuple(f"<|reserved_{n}|>" for n in range(60))
"""Tokens for the special ids that a configuration names; no text holds them."""

SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,}\]")
"""What looks like a special token in a template: <|im_start|>, <start_of_turn>, [INST] …"""


def architecture(card: Family) -> str:
    """The class name in transformers that runs the family's own checkpoints; empty where there is none."""
    import transformers

    known = [a for a in (*card.architectures, card.native) if a and hasattr(transformers, a)]
    return "" if card.remote_code or not known else known[0]


def make_tokenizer(card: Family, more: tuple[str, ...] = ()) -> Any:
    """A tokenizer that knows the special tokens of the card's first template, and `more`."""
    template = Catalogue.installed().find("template", card.template).load()
    texts = [v for v in vars(template).values() if isinstance(v, str)] + list(template.stop)
    tokens = list(dict.fromkeys(t for text in texts for t in SPECIAL.findall(text)))
    specials = dict.fromkeys(("<pad>", "<s>", "</s>", *tokens, *more, *RESERVED))
    return build_tokenizer(SAMPLE_TEXTS, specials, vocab_size=360 + len(specials), bos="<s>", eos="</s>")


def write_checkpoint(card: Family, folder: str | Path, processor: Any = None, **changes: Any) -> str:
    """A checkpoint of the family in `folder`, float32; with its processor, where one is given.

    changes: nested values for the configuration, over what the shrink rules say.
    """
    import torch
    import transformers

    tokenizer = getattr(processor, "tokenizer", processor) or make_tokenizer(card)
    model_class = getattr(transformers, architecture(card))
    config = tiny_config(model_class.config_class, len(tokenizer), _reserved_ids(tokenizer), **changes)
    _share_tokens(config, tokenizer)
    torch.manual_seed(0)
    task_class = {"embedding": "AutoModel", "seq_cls": "AutoModelForSequenceClassification"}.get(card.task)
    model = getattr(transformers, task_class).from_config(config) if task_class else model_class(config)
    stir(model)
    model.config.architectures = [model_class.__name__]
    model.save_pretrained(folder)
    (processor or tokenizer).save_pretrained(folder)
    for name in card.extra_files:
        _empty(Path(folder, name))
    return str(Path(folder))


def _empty(file: Path) -> None:
    """A file of the checkpoint that only has to be there; pickled ones hold an empty dictionary."""
    import torch

    if file.suffix == ".pt":
        torch.save({}, file)
    elif file.suffix == ".json":
        file.write_text("{}", encoding="utf-8")
    elif file.suffix:
        file.touch()
    else:
        file.mkdir()


def _reserved_ids(tokenizer: Any) -> Iterator[int]:
    return iter(tokenizer.convert_tokens_to_ids(list(RESERVED)))


def _share_tokens(config: Any, tokenizer: Any) -> None:
    """Begin, end and padding are the tokenizer's in every part of the configuration."""
    for owner in (config, *parts_of(config).values()):
        if hasattr(owner, "pad_token_id"):
            owner.pad_token_id = tokenizer.pad_token_id
        for name in ("bos_token_id", "eos_token_id"):
            if getattr(owner, name, None) is not None:
                setattr(owner, name, getattr(tokenizer, name))


def stir(model: Any, scale: float = 0.02) -> None:
    """Give parameters that start at exactly zero small random values.

    Some bridges between picture and text, and some gates, are zero at the start and would hide what flows
    through them.
    """
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point() and not parameter.any() and not name.endswith("bias"):
                parameter.normal_(0.0, scale)


if __name__ == "__main__":
    import sys

    print(write_checkpoint(Catalogue.installed().find("model", sys.argv[1]).load(), sys.argv[2]))
