"""`swift new KIND NAME`: a complete plugin of any kind, small, working and tested, to be changed into one's own.

The texts stand in `scaffolds/`: KIND.py.txt is the module, KIND_test.py.txt its contract test. Words in
double braces are filled in: `{{name}}` as the user gave it, `{{field}}` with underscores, `{{Class}}`,
`{{module}}`, `{{package}}`.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError
from swift_core.contract.kinds import Kind, find_kind


@dataclass(frozen=True)
class Example:
    """What the example of one kind does.

    summary: one sentence, its docstring. use: how a job chooses it. needs: requirements besides swift-core.
    target: what the entry point names; empty: the class. more: further modules. data: other files beside the module.
    """

    summary: str
    use: str
    needs: tuple[str, ...] = ()
    target: str = ""
    more: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


_RUNTIME = ("swift-plugin-runtime>=0.4",)
_SFT = "swift sft --model MODEL --dataset rows.jsonl"

EXAMPLES = {
    "model": Example(
        "A family of language models.",
        "swift sft --model your-name/{{Class}}-1B --dataset rows.jsonl",
        ("swift-plugin-essentials>=0.1",),
        target="card",
    ),
    "loader": Example(
        "Loads local language models with transformers, safetensors only.", _SFT + " --loader {{name}}", _RUNTIME
    ),
    "quantizer": Example(
        "Stores linear layers as bytes, one scale per row (absmax rounding).",
        _SFT + " --quantizer {{name}}",
        _RUNTIME,
        more=("layers",),
    ),
    "patcher": Example("Switches every dropout of the model off.", _SFT + " --patcher {{name}}", _RUNTIME),
    "dataset": Example(
        "Reads lines of the form `question => answer`.", "swift sft --model MODEL --dataset {{name}}::FILE"
    ),
    "template": Example("A chat format with a tag for each role.", _SFT + " --template {{name}}", target="template"),
    "bbox": Example("Boxes as four thousandths inside <box> tags.", _SFT + " --bbox {{name}}"),
    "agent": Example("Tool calls as lines of JSON behind the word CALL.", _SFT + " --agent {{name}}"),
    "loss_scale": Example("Numbers in an answer count more than its words.", _SFT + " --loss_scale {{name}}"),
    "tuner": Example(
        "Trains biases and norm weights alone (after BitFit, arXiv 2106.10199).",
        _SFT + " --tuner {{name}}",
        _RUNTIME,
    ),
    "optimizer": Example(
        "Stochastic gradient descent with Nesterov momentum.", _SFT + " --optimizer {{name}}", _RUNTIME
    ),
    "trainer": Example(
        "Supervised fine-tuning that stops when the loss is low enough.",
        "swift train --trainer {{name}} --model MODEL --dataset rows.jsonl",
        _RUNTIME,
    ),
    "reward": Example(
        "Rewards answers of about the wanted length.",
        "swift rlhf --rlhf_type grpo --reward {{name}} --model MODEL --dataset rows.jsonl",
    ),
    "environment": Example(
        "A user who asks for a shorter answer until it is short enough.",
        "swift rlhf --rlhf_type grpo --reward accuracy --environment {{name}} --model MODEL --dataset rows.jsonl",
    ),
    "parallel": Example(
        "Neighbouring processes train on the same rows, as a check on each other.",
        _SFT + " --launcher torchrun --{{field}}_copies 2",
    ),
    "launcher": Example("Runs the job in one process that lets other work go first.", _SFT + " --launcher {{name}}"),
    "backend": Example(
        "Answers one question after the other with transformers' generate.",
        "swift infer --model MODEL --backend {{name}}",
        _RUNTIME,
    ),
    "server": Example("Answers a line of text with a line, over TCP.", "swift deploy --model MODEL --server {{name}}"),
    "evaluator": Example(
        "Share of answers that are exactly the expected text.",
        "swift eval --model MODEL --evaluator {{name}} --eval_dataset rows.jsonl",
    ),
    "exporter": Example(
        "Writes the checkpoint in half precision.", "swift export --model MODEL --exporter {{name}}", _RUNTIME
    ),
    "recipe": Example(
        "A small model learns to chat with LoRA.",
        "swift recipes run {{name}} --dataset rows.jsonl",
        ("swift-datasets-catalog>=0.1", "swift-plugin-essentials>=0.1", "swift-plugin-qwen2>=0.1"),
        target="recipe",
        data=("recipe.yaml",),
    ),
    "command": Example("Counts the installed components of each kind.", "swift {{name}}", target="app"),
}


def write_plugin(kind: str, name: str, folder: str | Path = ".") -> Path:
    """Write a plugin for component `name` below `folder`; returns its own folder.

    SwiftError for an unknown kind, a name that cannot be one, one that is taken, or a folder that is there.
    """
    spec = find_kind(kind)
    _check_name(spec, name)
    words = _words(spec, name)
    place = Path(folder, words["package"])
    if place.exists():
        raise SwiftError(f"{place} is there already. Choose another name, or another --folder.")
    for path, text in _files(spec, words).items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return place


def _check_name(kind: Kind, name: str) -> None:
    plain = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,39}", plain) or keyword.iskeyword(plain):
        raise SwiftError(
            f"{name!r} cannot be a component's name: 2 to 40 small letters, digits, - or _, the first a letter, "
            "and no word of Python."
        )
    for entry in Catalogue.installed().of_kind(kind.name):
        if entry.name.replace("-", "_") == plain:
            raise SwiftError(f"There is a {entry.title} already. Choose another name.")


def _words(kind: Kind, name: str) -> dict[str, str]:
    field = name.replace("-", "_")
    example = EXAMPLES[kind.name]
    title = "".join(part.capitalize() for part in field.split("_"))
    words = {
        "kind": kind.name,
        "group": kind.group,
        "name": name,
        "field": field,
        "Class": title,
        "module": f"swift_plugin_{field}",
        "package": f"swift-plugin-{field.replace('_', '-')}",
        "target": example.target or title,
        "summary": example.summary,
        "dependencies": ", ".join(f'"{d}"' for d in ("swift-core>=0.2", *example.needs)),
    }
    return {**words, "use": f"```sh\n{_fill(example.use, words)}\n```"}


def _files(kind: Kind, words: dict[str, str]) -> dict[str, str]:
    """Path inside the plugin's folder → text."""
    module, field = words["module"], words["field"]
    sources = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}/__init__.py": f"{kind.name}.py",
        **{f"{module}/{more}.py": f"{kind.name}_{more}.py" for more in EXAMPLES[kind.name].more},
        **{f"{module}/{file}": f"{kind.name}_{file}" for file in EXAMPLES[kind.name].data},
        f"tests/test_{field}.py": f"{kind.name}_test.py",
    }
    return {path: _fill(_read(source), words) for path, source in sources.items()}


def _read(source: str) -> str:
    return resources.files("swift_core.cli").joinpath("scaffolds", f"{source}.txt").read_text(encoding="utf-8")


def _fill(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda m: words.get(m[1], m[0]), text)
