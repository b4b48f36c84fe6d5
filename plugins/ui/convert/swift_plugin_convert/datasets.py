"""Lists of data sets: what other programs say of each, as words of `--dataset` and `--columns`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_plugin_convert.draft import Draft, Line, listed

READ_AS_THEY_ARE = {
    "alpaca", "sharegpt", "chat_template", "chatml", "chat_template.default", "chat_template.argilla", "input_output",
    "chatml.intel", "chatml.ultra", "chatml.argilla", "llama3.ultra", "llama3.intel", "user_defined.default",
    "gpteacher", "pretrain",
}  # fmt: skip
"""Axolotl's types whose columns our reader knows by itself."""

FILES = {"json", "csv", "parquet", "text"}
"""Names of file readers, which stand in the place of a data set's id."""

FIELDS = {
    "field_instruction": "instruction",
    "field_input": "input",
    "field_output": "output",
    "field_system": "system",
    "field_prompt": "query",
    "field_chosen": "chosen",
    "field_rejected": "rejected",
    "field_messages": "messages",
    "field": "text",
}
"""Axolotl's words for a column → the column that our reader knows."""

NATIVE = {"messages", "conversations", "text", "instruction", "input", "output", "system", "chosen", "rejected"}
"""Columns that need no word."""

LISTS = {"datasets": "dataset+", "test_datasets": "val_dataset+", "pretraining_dataset": "dataset+"}
"""Axolotl's lists of data sets → our options."""

MAPPINGS = {("role", "from"), ("content", "value"), ("role", "role"), ("content", "content")}
"""Names inside a message that are read as they are."""

SAID_BY_ROWS = {
    "roles_to_train": (["assistant"], "answers are what trains"),
    "train_on_eos": ("turn", "the end of each answer trains"),
    "chat_template": ("tokenizer_default", "the model's own"),
}
"""Words of a data set that need none where they have this value."""


def take(program: str, values: dict[str, Any], draft: Draft) -> None:
    """Take the lists of data sets out of `values`, and counts of rows that hold for all of them."""
    if program == "axolotl":
        _axolotl(values, draft)
    elif program == "trl" and isinstance(values.get("datasets"), list):
        _mixture(values.pop("datasets"), draft)
    elif program == "trl" and isinstance(values.get("dataset_name"), str):
        _of_a_hub(values, draft)
    elif program in ("llamafactory", "ms-swift"):
        _counted(values, draft)


def _counted(values: dict[str, Any], draft: Draft) -> None:
    """`dataset: a,b` with a count that holds for each of them (LLaMA-Factory), or for all (ms-swift 2)."""
    if draft.table == "llamafactory" and isinstance(values.get("dataset"), str):
        values["dataset"] = listed(values["dataset"])
    names = values.get("dataset")
    names = names if isinstance(names, list) else [names]
    for word in ("max_samples", "train_dataset_sample"):
        count = values.get(word)
        if count is None or (names == [None] and int(count) >= 0):
            continue
        del values[word]
        if int(count) < 0:
            draft.add(Line(word, count, "needless", why="all rows"), [])
        elif word == "train_dataset_sample" and len(names) > 1:
            draft.add(Line(word, count, "lost", why="a count of all rows together: write NAME#COUNT"), [])
        else:
            values["dataset"] = [f"{name}#{count}" for name in names]
            draft.add(Line(word, count, "needless", why="behind each data set, as NAME#COUNT"), [])


def _of_a_hub(values: dict[str, Any], draft: Draft) -> None:
    """TRL's `dataset_name` with the subset and splits of other words; what is evaluated is `test` unless said."""
    name, subset = values["dataset_name"], values.pop("dataset_config", None)
    split, test = values.pop("dataset_train_split", None), values.pop("dataset_test_split", None)
    values["dataset_name"] = _named(name, subset or "", split if split not in (None, "train") else "")
    for word, value in (("dataset_config", subset), ("dataset_train_split", split)):
        if value is not None:
            draft.add(Line(word, value, "needless", why="behind the data set, as NAME:SUBSET/SPLIT"), [])
    evaluates = values.get("eval_strategy", "no") not in ("no", False)
    is_file = Path(name).suffix in (".json", ".jsonl", ".csv", ".parquet", ".txt")
    if evaluates and not is_file:
        held = [("val_dataset", _named(name, subset or "", test or "test"))]
        draft.add(Line("dataset_test_split", test, "default" if test is None else "taken"), held)
    elif test is not None:
        draft.add(Line("dataset_test_split", test, "needless", why="a file, or nothing is evaluated"), [])


def _mixture(entries: list[dict[str, Any]], draft: Draft) -> None:
    """TRL's `datasets`: path, name, split, columns."""
    for number, entry in enumerate(entries):
        rest = dict(entry)
        word = _named(rest.pop("path", ""), rest.pop("name", ""), rest.pop("split", ""))
        rest.pop("columns", None)  # which columns are kept: ours reads those that it knows
        draft.add(Line(f"datasets[{number}]", entry, "taken"), [("dataset+", word)])
        for key, value in rest.items():
            draft.add(Line(f"datasets[{number}].{key}", value, "lost", why="no word of a data set here"), [])


def _axolotl(values: dict[str, Any], draft: Draft) -> None:
    """`datasets`, `test_datasets` and `pretraining_dataset`, each a list of maps, or the id alone."""
    for word, option in LISTS.items():
        said = values.pop(word, None)
        for number, entry in enumerate(said if isinstance(said, list) else [said] if said else []):
            _entry(f"{word}[{number}]", {"path": entry} if isinstance(entry, str) else dict(entry), option, draft)
        if word == "pretraining_dataset" and said:
            draft.options |= {"trainer": "pt", "streaming": True}


def _entry(where: str, entry: dict[str, Any], option: str, draft: Draft) -> None:
    path, files = str(entry.pop("path", "")), entry.pop("data_files", None)
    names = files if isinstance(files, list) else [files] if files else []
    of_files = path in FILES or (entry.get("ds_type") and names)
    said = str(entry.pop("split", ""))
    split = said.partition("[")[0]
    words = names if of_files else [_named(path, str(entry.pop("name", None) or ""), split if split != "train" else "")]
    entry.pop("ds_type", None)
    draft.add(Line(where, {"path": path, **({"data_files": files} if files else {})}, "taken"), [(option, words)])
    if split != said:
        draft.add(Line(f"{where}.split", said, "lost", why="a part of a split has no word: write NAME#COUNT"), [])
    if names and not of_files:
        draft.add(Line(f"{where}.data_files", files, "lost", why="files of a hub's data set are chosen by subset"), [])
    kind = entry.pop("type", None)
    _kind(f"{where}.type", kind, draft)
    for key, value in entry.items():
        _column(f"{where}.{key}", key, value, draft)


def _named(path: str, subset: str, split: str) -> str:
    """`id:subset/split` as --dataset has it."""
    place = f"{subset}/{split}" if split else subset
    return f"{path}:{place}" if place else path


def _kind(where: str, kind: Any, draft: Draft) -> None:
    """How rows are laid out: known by their columns, whole texts, or a map of columns."""
    if isinstance(kind, dict):
        for key, value in kind.items():
            _column(f"{where}.{key}", key, value, draft)
    elif kind == "completion":
        draft.add(Line(where, kind, "taken", why="whole texts train"), [("trainer", "pt")])
    elif kind in READ_AS_THEY_ARE:
        draft.add(Line(where, kind, "needless", why="rows tell their form by their columns"), [])
    elif kind:
        draft.add(Line(where, kind, "lost", why="look at what the rows become: swift show data"), [])


def _column(where: str, key: str, value: Any, draft: Draft) -> None:
    """A column's name, or another word of one data set."""
    if key in FIELDS and (value == FIELDS[key] or value in NATIVE):
        draft.add(Line(where, value, "needless", why="the column is known by its name"), [])
    elif key in FIELDS and value:
        draft.add(Line(where, value, "taken"), [("columns", {value: FIELDS[key]})])
    elif key in SAID_BY_ROWS and value == SAID_BY_ROWS[key][0]:
        draft.add(Line(where, value, "needless", why=SAID_BY_ROWS[key][1]), [])
    elif key == "message_property_mappings" and {*value.items()} <= MAPPINGS:
        draft.add(Line(where, value, "needless", why="from and value are read, too"), [])
    else:
        draft.add(Line(where, value, "lost", why="no word of one data set here"), [])
