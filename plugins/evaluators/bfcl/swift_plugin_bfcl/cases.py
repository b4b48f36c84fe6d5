"""BFCL's rows as ours: functions as OpenAI's tools, names without dots, types of JSON schema, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.data.convert import to_row

Json = dict[str, Any]

FILES = {
    "simple": "simple_python",
    "multiple": "multiple",
    "parallel": "parallel",
    "parallel_multiple": "parallel_multiple",
    "irrelevance": "irrelevance",
    **{f"live_{name}": f"live_{name}" for name in ("simple", "multiple", "parallel", "parallel_multiple")},
    **{f"live_{name}": f"live_{name}" for name in ("irrelevance", "relevance")},
}
"""Category → its part of a file's name in the package."""

TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "bool": "boolean", "any": "string"}
"""BFCL's types that JSON schema calls otherwise. Where BFCL says `any`, its checker wants a text."""


@dataclass(frozen=True)
class Case:
    """One row. row: what the model reads. function, ground_truth: BFCL's own. names: as the model reads → BFCL's.

    category: of BFCL, without `live_`.
    """

    row: Row
    category: str
    function: list[Json]
    ground_truth: list[Json]
    names: dict[str, str]

    def as_bfcl(self, calls: list[Json]) -> list[Json]:
        """Calls under BFCL's names in BFCL's form, `[{name: arguments}]`."""
        return [{self.names.get(str(call["name"]), str(call["name"])): call["arguments"]} for call in calls]


def read_category(python: Path, category: str) -> list[Case]:
    """The rows of a category with their right answers, from the package beside `python`."""
    folder = data_folder(python)
    (file,) = folder.glob(f"BFCL_v[0-9]_{FILES[category]}.json")
    answers = folder / "possible_answer" / file.name
    truth = {line["id"]: line["ground_truth"] for line in _lines(answers)} if answers.is_file() else {}
    return [
        case_of({**line, "ground_truth": truth.get(line["id"], [])}, category.removeprefix("live_"))
        for line in _lines(file)
    ]


def data_folder(python: Path) -> Path:
    """Where the package bfcl-eval beside the interpreter `python` keeps its data."""
    return next(python.parent.parent.glob("lib/python*/site-packages/bfcl_eval/data"))


def _lines(file: Path) -> Iterator[Json]:
    return map(json.loads, file.read_text(encoding="utf-8").splitlines())


def case_of(raw: Json, category: str = "") -> Case:
    """A row in BFCL's form: `id`, `question` [[messages]], `function`, `ground_truth` [{name: {argument: [values]}}].

    category: left out, it follows from the row: without ground_truth nothing may be called. Raises SwiftError where a
    column is missing, the question has several turns, or two names become one.
    """
    where = str(raw.get("id") or raw.get("_where", "row"))
    missing = [name for name in ("question", "function", "ground_truth") if not isinstance(raw.get(name), list)]
    if missing:
        raise SwiftError(
            f"{raw.get('_where', where)}: a row of BFCL has the lists question, function, ground_truth; "
            f"{missing[0]} is none."
        )
    if len(raw["question"]) != 1:
        raise SwiftError(f"{where}: the question has {len(raw['question'])} turns; the evaluator bfcl measures one.")
    names = {written(f["name"]): f["name"] for f in raw["function"]}
    if len(names) < len(raw["function"]):
        raise SwiftError(f"{where}: two functions have one name without dots; rename one.")
    tools = [tool_of(function) for function in raw["function"]]
    row = to_row({"messages": joined(raw["question"][0]), "tools": tools, "_where": where})
    return Case(row, category or _category(raw), raw["function"], raw["ground_truth"], names)


def joined(messages: list[Json]) -> list[Json]:
    """The messages, neighbours of one role in one with an empty line between: few templates can write two in a row."""
    made: list[Json] = []
    for message in messages:
        if made and made[-1]["role"] == message["role"]:
            made[-1] = {**message, "content": f"{made[-1]['content']}\n\n{message['content']}"}
        else:
            made.append(message)
    return made


def _category(raw: Json) -> str:
    if not raw["ground_truth"]:
        return "irrelevance"
    many = "parallel" if len(raw["ground_truth"]) > 1 else ""
    return "_".join(filter(None, [many, "multiple" if len(raw["function"]) > 1 else ""])) or "simple"


def written(name: str) -> str:
    """A function's name as interfaces of tools allow it: letters, digits, underscores and dashes."""
    return re.sub(r"[^\w-]", "_", name)


def tool_of(function: Json) -> Json:
    """A function of BFCL as OpenAI's tool."""
    parameters = schema_of(function["parameters"])
    told = {"name": written(function["name"]), "description": function["description"], "parameters": parameters}
    return {"type": "function", "function": told}


def schema_of(schema: Any) -> Any:
    """A schema of BFCL with JSON schema's names of types, at every depth."""
    if isinstance(schema, list):
        return [schema_of(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: value if key in ("enum", "default") else schema_of(value) for key, value in schema.items()}
    kind = schema.get("type")
    if isinstance(kind, str):
        made["type"] = TYPES.get(kind, kind)
    return made
