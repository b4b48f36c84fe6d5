"""Write `docs/reference/python.md`: the Python API with signatures and docstrings, read from the source.

griffe reads the packages without importing them (it is what mkdocstrings stands on, of which Zensical's pages need no
plugin this way). Run by `make generated`; a test checks that the page is up to date.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "python.md"
PLACES = [ROOT, *(ROOT / "plugins" / "runtime" / name for name in ("runtime", "testing"))]

SECTIONS = {
    "Jobs and tuners": [
        "swift_core.api.run",
        "swift_core.api.prepare_model",
        "swift_core.api.from_pretrained",
        "swift_core.api.save_pretrained",
        "swift_core.api.merge",
        "swift_core.api.activate",
        "swift_core.api.deactivate",
    ],
    "Scoring models": ["swift_plugin_runtime.scoring.scorer.Scorer"],
    "What a plugin is made of": [
        "swift_core.job.options.option",
        "swift_core.contract.cards.Family",
        "swift_core.contract.cards.Modules",
        "swift_core.contract.cards.Checkpoint",
        "swift_core.contract.capability.Supported",
        "swift_core.contract.capability.Unsupported",
        "swift_core.contract.capability.Experimental",
        "swift_core.contract.errors.SwiftError",
        "swift_core.contract.errors.SwiftErrors",
        "swift_core.templates.declaration.Template",
        "swift_core.templates.declaration.Thinking",
    ],
    "What hooks are given": [
        "swift_core.contract.job.Job",
        "swift_core.contract.job.Selected",
        "swift_core.contract.row.Row",
        "swift_core.contract.source.Source",
        "swift_core.contract.engine.Request",
        "swift_core.contract.engine.Sampling",
        "swift_core.contract.engine.Reply",
        "swift_core.contract.engine.Engine",
    ],
    "Beside other tuners": [
        "swift_core.contract.tuning.tuning_of",
        "swift_core.contract.tuning.base_parameters",
        "swift_core.contract.tuning.base_modules",
        "swift_core.contract.tuning.own_state",
        "swift_core.contract.tuning.claim",
        "swift_core.contract.tuning.replace",
        "swift_core.contract.tuning.notes",
    ],
    "To build on the runtime": [
        "swift_plugin_runtime.tuning.peft_tuner.LayerTuner",
        "swift_plugin_runtime.tuning.peft_tuner.LowRankTuner",
        "swift_plugin_runtime.options.training_options",
        "swift_plugin_runtime.options.splits_weights",
        "swift_plugin_runtime.options.share_of",
    ],
    "To test a plugin": [
        "swift_testing.contracts.tiny_model",
        "swift_testing.contracts.bare_model",
        "swift_testing.contracts.write_rows",
        "swift_testing.contracts.ComponentContract",
    ],
}
"""Heading → what stands below it, by the module that holds it."""

INTRO = """<!-- Written by tools/api.py from the code: change the code, then run `make generated`. -->

# Python API

Tuners work on any transformers model and in any training loop:

```python
from swift_core import from_pretrained, merge, prepare_model, save_pretrained
from swift_plugin_lora import Lora

model = prepare_model(model, {"first": Lora(lora_rank=8), "second": Lora(target_modules=["q_proj"])})
...  # your own loop
save_pretrained(model, "checkpoint")
model = from_pretrained(base, "checkpoint")
```

Whole jobs run as on the command line: `run("sft", model="…", dataset=["rows.jsonl"], tuner="lora")`. What the package
`swift_core` offers by itself is imported from there. Hooks are in [hooks](hooks.md), options of components in
[components](components.md).
"""


@functools.cache
def _package(name: str) -> griffe.Object | griffe.Alias:
    return griffe.load(name, search_paths=[str(place) for place in PLACES], allow_inspection=False)


def found(path: str) -> griffe.Object | griffe.Alias:
    """What a dotted path names. KeyError where the source has no such name."""
    package, _, rest = path.partition(".")
    return _package(package)[rest]


def page() -> str:
    """The whole page: a section for each heading of `SECTIONS`."""
    parts = [INTRO]
    for title, paths in SECTIONS.items():
        parts.append(f"\n## {title}\n")
        parts += [part for path in paths for part in _entry(path)]
    return "\n".join(parts)


def _entry(path: str) -> Iterator[str]:
    """A name: its signature, what it says of itself, and the public methods of a class."""
    one = found(path)
    yield f"### {one.name}\n"
    yield f"```python\nfrom {_public(path)} import {one.name}\n\n\n{_signature(one)}\n```\n"
    yield _text(one)
    if one.is_class:
        for method in one.functions.values():
            if not method.name.startswith("_") and method.docstring:
                yield f"#### {one.name}.{method.name}\n"
                yield f"```python\n{_signature(method)}\n```\n"
                yield _text(method)


def _public(path: str) -> str:
    """From where a user imports it: the package itself where that offers it."""
    module, _, name = path.rpartition(".")
    offered = (ROOT / "swift_core" / "__init__.py").read_text(encoding="utf-8")
    if module.startswith("swift_core.") and f'    "{name}",' in offered.partition("_WHERE")[0]:
        return "swift_core"
    return {"swift_core.templates.declaration": "swift_core.templates"}.get(module, module)


def _signature(one: griffe.Object | griffe.Alias) -> str:
    """`def name(…) -> …`, a parameter a line where it is long; a class with its fields."""
    if one.is_class:
        bases = ", ".join(str(base) for base in one.bases)
        fields = [_field(a) for a in one.attributes.values() if a.annotation and not a.name.startswith("_")]
        return "\n".join([f"class {one.name}({bases}):" if bases else f"class {one.name}:", *(fields or ["    ..."])])
    arguments = [_parameter(p) for p in one.parameters]
    result = f" -> {one.returns}" if one.returns else ""
    short = f"def {one.name}({', '.join(_with_star(arguments, one))}){result}"
    if len(short) <= 100:
        return short
    lines = "".join(f"    {argument},\n" for argument in _with_star(arguments, one))
    return f"def {one.name}(\n{lines}){result}"


def _with_star(arguments: list[str], function: griffe.Object | griffe.Alias) -> list[str]:
    """The parameters with `*` before those that are said by name."""
    kinds = [str(p.kind and p.kind.value) for p in function.parameters]
    if "keyword-only" in kinds and "variadic positional" not in kinds:
        place = kinds.index("keyword-only")
        return [*arguments[:place], "*", *arguments[place:]]
    return arguments


def _parameter(one: griffe.Parameter) -> str:
    stars = {"variadic positional": "*", "variadic keyword": "**"}.get(str(one.kind and one.kind.value), "")
    annotation = f": {one.annotation}" if one.annotation else ""
    if one.default is None or stars:
        return f"{stars}{one.name}{annotation}"
    return f"{one.name}{annotation}{' = ' if annotation else '='}{one.default}"


def _field(one: griffe.Object | griffe.Alias) -> str:
    value = f" = {one.value}" if one.value is not None and len(str(one.value)) < 60 else ""
    return f"    {one.name}: {one.annotation}{value}"


def _text(one: griffe.Object | griffe.Alias) -> str:
    """A docstring as Markdown: what begins with a word and a colon gets a line of its own."""
    said = one.docstring.value if one.docstring else ""
    said = re.sub(r"\n(Raises|Returns|Yields)(:| )", r"\n\n\1\2", said)
    return said.replace("<", "&lt;") + "\n"


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    print(f"docs/reference/python.md: {len(text.splitlines())} lines")
