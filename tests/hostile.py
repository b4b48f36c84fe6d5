"""Rows and files that nobody meant to write: sound ones of every format, spoilt by chance, from a seed."""

from __future__ import annotations

import bz2
import copy
import gzip
import json
import lzma
import random
import string

import pyarrow
import pyarrow.parquet

WORD = {"user": "Uu", "assistant": "Aa", "system": "Ss", "tool": "Tt"}
"""The beginning of every text of a role, by which it is found again; a number follows."""


class Rows:
    """Rows of every format. Each text is a word that says whose it is, and occurs once."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        self.number = 0

    def word(self, role):
        self.number += 1
        return f"{WORD[role]}{self.number}q"

    def message(self, role, form="openai"):
        if form == "sharegpt":
            names = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
            return {"from": names[role], "value": self.word(role)}
        return {"role": role, "content": self.word(role)}

    def talk(self, form="openai", answers=True):
        roles = ["user", "assistant"] * self.chance.randint(1, 2)
        roles = (["system"] if self.chance.random() < 0.3 else []) + roles
        return [self.message(role, form) for role in (roles if answers else roles[:-1])]

    def sound(self):
        """A row of one of the formats."""
        return copy.deepcopy(self.chance.choice(FORMATS)(self))

    def spoilt(self):
        """A row with one to three places spoilt."""
        row = self.sound()
        for _ in range(self.chance.randint(1, 3)):
            self.chance.choice(DAMAGES)(self, row)
        return row

    def place(self, row):
        """A container somewhere in the row, and a key or index in it."""
        found = list(_places(row))
        return self.chance.choice(found) if found else (row, None)


def _places(value):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _columns(rows):
    row = {rows.chance.choice(("query", "prompt", "input", "question")): rows.word("user")}
    row[rows.chance.choice(("response", "answer", "completion"))] = rows.word("assistant")
    if rows.chance.random() < 0.3:
        row["system"] = rows.word("system")
    if rows.chance.random() < 0.3:
        row["history"] = [[rows.word("user"), rows.word("assistant")]]
    if rows.chance.random() < 0.3:
        row["objects"] = {"ref": ["x"], "bbox": [], "bbox_type": "real"}
    return row


def _calls(rows):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    calling = {"role": "assistant", "content": rows.word("assistant"), "tool_calls": [call]}
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    messages = [rows.message("user"), calling, rows.message("tool"), rows.message("assistant")]
    return {"messages": messages, "tools": [tool]}


def _pair(rows):
    asked = [rows.message("user")]
    return {"prompt": asked, "chosen": [rows.message("assistant")], "rejected": [rows.message("assistant")]}


def _weighed(rows):
    weight = rows.chance.choice(({"loss": False}, {"weight": 0}, {"train": False}, {"loss_scale": 2.0}))
    talk = rows.talk() + rows.talk()[-2:]
    answer = next(m for m in talk if m["role"] == "assistant")
    answer |= weight
    return {"messages": talk}


FORMATS = (
    _columns,
    _calls,
    _pair,
    _weighed,
    lambda rows: {"messages": rows.talk(), "source": "web"},
    lambda rows: {"conversations": rows.talk("sharegpt")},
    lambda rows: {"instruction": rows.word("user"), "input": rows.word("user"), "output": rows.word("assistant")},
    lambda rows: {"prompt": rows.talk(answers=False), "completion": [rows.message("assistant")]},
    lambda rows: {"query": rows.word("user"), "response": rows.word("assistant"), "rejected": rows.word("assistant")},
    lambda rows: {"messages": rows.talk(), "rejected_response": rows.word("assistant")},
    lambda rows: {
        "input": {"messages": [rows.message("user")]},
        "preferred_output": [rows.message("assistant")],
        "non_preferred_output": [rows.message("assistant")],
    },
    lambda rows: {
        "conversations": [rows.message("user", "sharegpt")],
        "chosen": rows.message("assistant", "sharegpt"),
        "rejected": rows.message("assistant", "sharegpt"),
    },
    lambda rows: {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": rows.word("user")}]},
            rows.message("assistant"),
        ]
    },
)

NASTY = (
    *(None, "", " ", "\n", 0, -1, 1.5, True, False, 10**400, -(10**400), float("nan"), float("inf")),
    *([], {}, [None], [[]], [{}], {"": ""}, {"role": "user"}, [1, 2], {"a": {"b": [{}]}}, [["a"]]),
    *(
        "\ud800",
        "\x00",
        "[1, 2",
        '{"a":',
        "[" * 300,
        "9" * 5000,
        "x" * 20_000,
        "null",
        "true",
        "[]",
        "{}",
        "\u2028",
        "🙂",
    ),
    *("<image>", "<bbox>", "<ref-object>", "<|im_end|>"),
)

NAMES = (
    "query",
    "messages",
    "Question",
    "text",
    "tools",
    "images",
    "objects",
    "label",
    "history",
    "chosen",
    "",
    "bbox",
)


def _replace(rows, row):
    owner, key = rows.place(row)
    if key is not None:
        owner[key] = copy.deepcopy(rows.chance.choice(NASTY))


def _remove(rows, row):
    owner, key = rows.place(row)
    if key is not None:
        del owner[key]


def _rename(rows, row):
    owner, key = rows.place(row)
    if isinstance(key, str):
        change = rows.chance.choice((str.upper, str.title, lambda name: f" {name}", lambda name: name[:-1]))
        owner[change(key)] = owner.pop(key)


def _wrap(rows, row):
    owner, key = rows.place(row)
    if key is not None:
        text = owner[key] if isinstance(owner[key], str) else json.dumps(owner[key], default=str)
        owner[key] = rows.chance.choice(([owner[key]], {"a": owner[key]}, text))


def _add(rows, row):
    owner, key = rows.place(row)
    value = copy.deepcopy(rows.chance.choice((*NASTY, rows.word("user"))))
    if isinstance(owner, dict):
        owner.setdefault(rows.chance.choice((*NAMES, *string.ascii_lowercase)), value)
    elif key is not None:
        owner.insert(key, value)


def _repeat(rows, row):
    owner, key = rows.place(row)
    if isinstance(owner, list) and key is not None and not isinstance(owner[key], str):  # a pair of the history
        owner.append(copy.deepcopy(owner[key]))


def _reverse(rows, row):
    owner, key = rows.place(row)
    if isinstance(owner, list) and key is not None and not isinstance(owner[key], str):
        owner.reverse()


DAMAGES = (_replace, _replace, _replace, _remove, _rename, _wrap, _add, _repeat, _reverse)


# -- files ---------------------------------------------------------------------------------------------------
class Files:
    """Data files of every kind, spoilt in ways that change no text of a row: what is read must be one of `rows`."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        words = Rows(seed)
        self.rows = [{"query": words.word("user"), "response": words.word("assistant") + " é🙂"} for _ in range(8)]

    def spoilt(self):
        """(name, content) of a file."""
        name, write = self.chance.choice(KINDS)
        content = write(self.rows)
        spoilers = self.chance.choices(SPOILERS, k=self.chance.randint(0, 2))
        for spoil in sorted(spoilers, key=lambda spoil: spoil is _encode):  # bytes put into UTF-16 would be letters
            content = spoil(self, content)
        if self.chance.random() < 0.3:
            suffix, pack = self.chance.choice(PACKERS)
            name, content = name + suffix, pack(content)
            if self.chance.random() < 0.5:
                content = _cut(self, content)
        if self.chance.random() < 0.15:
            name = f"a{self.chance.choice(SUFFIXES)}"
        return name, content


def _csv(separator):
    def write(rows):
        lines = [separator.join(("query", "response")), *(separator.join(row.values()) for row in rows)]
        return "\n".join(lines).encode()

    return write


def _parquet(rows):
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


KINDS = (
    ("a.jsonl", lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    ("a.jsonl", lambda rows: "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()),
    ("a.json", lambda rows: json.dumps(rows, indent=1).encode()),
    ("a.json", lambda rows: json.dumps({"data": rows}).encode()),
    ("a.csv", _csv(",")),
    ("a.csv", _csv(";")),
    ("a.tsv", _csv("\t")),
    ("a.parquet", _parquet),
)
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".jsonl.gz", ".json.zst")
PACKERS = (
    (".gz", gzip.compress),
    (".bz2", bz2.compress),
    (".xz", lzma.compress),
    (".zst", lambda content: pyarrow.compress(content, "zstd", asbytes=True)),
)


def _cut(files, content):
    return content[: files.chance.randrange(len(content) + 1)]


def _insert(files, content):
    junk = (
        *(
            b"\n",
            b"\n\n",
            b"\r\n",
            b"{",
            b"}",
            b"]",
            b'"',
            b"\n[]\n",
            b"\nnull\n",
            b'\n{"a": NaN}\n',
            b"\xff\xfe",
            b"\x00",
        ),
        *(b"\n" + b"[" * 3000, b"\n" + b"9" * 6000 + b"\n", b'\n"' + b"x" * 300_000),
    )
    ends = [0, len(content), *(n for n, byte in enumerate(content) if byte == 10)]
    place = files.chance.choice(ends)
    return content[:place] + files.chance.choice(junk) + content[place:]


def _encode(files, content):
    try:
        return content.decode().encode(
            files.chance.choice(("utf-16", "utf-8-sig", "utf-32", "utf-16-le", "gbk")), "replace"
        )
    except UnicodeDecodeError:
        return content


def _ends(_, content):
    return content.replace(b"\n", b"\r\n")


SPOILERS = (_cut, _insert, _insert, _encode, _ends, lambda *_: b"", lambda files, _: files.chance.randbytes(200))
