"""Contracts of what stands between rows and tokens: data sets, templates, boxes, agents, loss scales."""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.contract.source import Source
from swift_core.data.convert import to_row
from swift_core.data.load import raw_rows
from swift_core.data.published import Published
from swift_core.templates.declaration import Template
from swift_core.templates.encode import IGNORED
from swift_core.templates.forms import jinja, ollama
from swift_testing.contracts import ComponentContract
from swift_testing.go_template import render
from swift_testing.published import check_card, write_like_a_hub

Message = dict[str, Any]


class DatasetContract(ComponentContract):
    """A reader of data, or the card of a published data set, which proves itself by its example.

    For a reader give `sample` where it reads files, else override `source`.
    """

    kind = "dataset"
    rows = 0
    """How many rows the sample holds."""
    sample = ""
    """The text of a file that `--dataset NAME::FILE` reads."""
    mistake = ""
    """The text of a file that is refused because one of its rows cannot be read."""
    file_name = "sample.txt"
    """What a file is called, where its suffix matters."""

    def source(self, folder: Path) -> str:
        """Write a sample into `folder`; return what a user would say after --dataset to read it."""
        if self.card:
            write_like_a_hub(self.card, folder)
            return self.name
        if self.generic and not self.sample:
            pytest.skip("needs a sample, which only the plugin's own test can make")
        assert self.sample, f"Say `sample = …` in {type(self).__name__}, or define source(self, folder) there."
        return self.written(folder, self.sample)

    def written(self, folder: Path, text: str) -> str:
        """Write `text` to a file in `folder`; return the --dataset word for it."""
        (folder / self.file_name).write_text(text, encoding="utf-8")
        return f"{self.name}::{folder / self.file_name}"

    def read(self, folder: Path, word: str = "") -> tuple[Job, Source, list[dict[str, Any]]]:
        """(job, source, raw rows) of a --dataset word; left out: of the sample, written into `folder`."""
        word = word or self.source(folder)
        job = self.job(dataset=[word], data_root=str(folder) if self.card else None)
        source = job.options.source_of(word)
        raw = job.hook.load_rows(job=job, source=source)
        assert raw is not None, f"load_rows returned None for its own source {source}; None means: not mine."
        return job, source, list(raw if source.layout is None else raw_rows(job, source))

    @property
    def card(self) -> Published | None:
        """The card under test; None for a reader."""
        return self.component if isinstance(self.component, Published) else None

    def choice(self) -> dict[str, Any]:
        """Nothing: the --dataset word chooses the reader."""
        return {}

    def test_reads_every_row_and_says_where_it_stood(self, tmp_path: Path) -> None:
        """Each raw row carries `_where`, so that a bad one can be found."""
        _, _, raw = self.read(tmp_path)
        if self.card:
            assert len(raw) >= len(check_card(self.card)[:1])
        wanted = len(raw) if self.card else self.fact("rows", "how many rows the sample of `source` holds.")
        assert len(raw) == wanted, f"The sample holds {wanted} rows, load_rows gave {len(raw)}."
        assert all(r.get("_where") for r in raw), "Give every raw row `_where`: file:line or id:index."

    def test_rows_become_conversations(self, tmp_path: Path) -> None:
        """Each raw row converts to the standard row, by this component's `to_row` or the generic one."""
        job, source, raw = self.read(tmp_path)
        for item in raw:
            row = job.hook.to_row(job=job, raw=dict(item), source=source) or to_row(dict(item), {})
            assert row.messages, f"{item['_where']} became a row without messages."

    def test_leaves_other_sources_alone(self, tmp_path: Path) -> None:
        """Several data set components share a job; each answers None for what is not its own."""
        job, _, _ = self.read(tmp_path)
        (mine,) = [c for c in job.many("dataset") if c.entry == self.entry]
        other = Source("someone/thing", hub="elsewhere", text="elsewhere::someone/thing")
        assert job.call(mine, "load_rows", source=other) is None, "load_rows must return None for a foreign source."

    def test_refuses_what_it_cannot_read(self, tmp_path: Path) -> None:
        """A file that is missing, and one with a mistake in it, is a `SwiftError` that names the file."""
        if not self.sample:
            pytest.skip("needs a sample of a file")
        with pytest.raises(SwiftError, match=re.escape(f"{tmp_path / 'missing'}")):
            self.read(tmp_path, f"{self.name}::{tmp_path / 'missing'}")
        if self.mistake:
            with pytest.raises(SwiftError, match=re.escape(f"{tmp_path / self.file_name}") + r".*\d"):
                self.read(tmp_path, self.written(tmp_path, self.mistake))


# -- templates --------------------------------------------------------------------------------------------
ROUNDS = [
    ("What is in the picture?", "The answer is here."),
    ("And in Beijing, 北京?", "今天北京的天气很好。"),
    ("def add(a, b)?", "return a + b"),
]

SPECIAL = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,}\]")
"""What looks like a special token in a template's texts: <|im_start|>, <start_of_turn>, [INST] …"""


class TemplateContract(ComponentContract):
    """A chat format. Ids, the Jinja form and the Ollama form must agree, and labels cover the answers alone."""

    kind = "template"

    @property
    def template(self) -> Template:
        """The declaration under test."""
        return self.job().one("template")

    @property
    def tokenizer(self) -> Any:
        """A tokenizer that knows what looks like a special token in the template."""
        t = self.template
        texts = (t.start, t.system, t.user, t.assistant, t.end, t.after, t.between, t.tool, *t.media.values())
        return _tokenizer(tuple(dict.fromkeys(SPECIAL.findall(" ".join((*texts, *t.stop))))))

    def conversations(self) -> list[list[Message]]:
        """One round, three rounds and, where the template has a place for it, a system text."""
        plain = [_messages(ROUNDS[:1]), _messages(ROUNDS)]
        plain = plain[:1] if self.template.single else plain
        system = [{"role": "system", "content": "You are brief."}, *plain[-1][:4]]
        return [*plain, system] if self.template.system or self.template.late_system else plain

    def encoded(self, messages: list[Message], generation: bool = False, **options: Any) -> dict[str, Any]:
        """A conversation through the job's `encode` hook."""
        job = self.job(**options)
        items: list[dict[str, Any]] = job.hook.encode(
            job=job, rows=[Row(messages=messages)], processor=self.tokenizer, generation=generation
        )
        return items[0]

    def test_is_the_jinja_text_tokenized(self) -> None:
        """The same conversation through transformers' apply_chat_template gives the same ids and labels."""
        tokenizer = self.tokenizer
        for messages in self.conversations():
            ours = self.encoded(messages)
            theirs = _by_jinja(tokenizer, jinja(self.template, tokenizer), messages)
            text = tokenizer.decode(ours["input_ids"])
            assert text == tokenizer.decode(theirs["input_ids"]), f"The Jinja form writes another text than {text!r}."
            if _answers_start_a_token(tokenizer, text, messages):
                assert ours["input_ids"] == theirs["input_ids"]
                trained = [int(label != IGNORED) for label in ours["labels"]]
                assert trained == theirs["assistant_masks"], "Labels cover other tokens than Jinja's generation block."

    def test_trains_the_answers_alone(self) -> None:
        """Trained text holds every answer and no question; each label is the id at its place."""
        for messages in self.conversations():
            row = self.encoded(messages)
            pairs = [(i, label) for i, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]
            assert all(i == label for i, label in pairs), "A label differs from the id at its place."
            text = self.tokenizer.decode([i for i, _ in pairs])
            for message in messages:
                trained = message["content"] in text
                assert trained == (message["role"] == "assistant"), f"{message} is wrongly trained or not: {text!r}"

    def test_the_prompt_is_what_training_saw(self) -> None:
        """At inference the model gets exactly the ids that stood before the answer in training."""
        for messages in self.conversations():
            for upto in (n for n, m in enumerate(messages, 1) if m["role"] == "assistant"):
                how: dict[str, Any] = {"loss_scale": "last_round", "enable_thinking": False}
                trained = self.encoded(messages[:upto], **how)["input_ids"]
                prompt = self.encoded(messages[: upto - 1], generation=True, **how)["input_ids"]
                text = self.tokenizer.decode(prompt)
                assert trained[: len(prompt)] == prompt, f"The prompt {text!r} is not a prefix of the training ids."

    def test_is_what_ollama_writes(self) -> None:
        """The Go form prints the prompt that the model was trained on."""
        t, tokenizer = self.template, self.tokenizer
        form = ollama(t, tokenizer.bos_token, tokenizer.eos_token, tokenizer)
        for messages in self.conversations():
            ours = tokenizer.decode(self.encoded(messages[:-1], generation=True)["input_ids"])
            theirs = render(form, _for_ollama(messages[:-1]))
            assert theirs.removeprefix(tokenizer.bos_token) == ours.removeprefix(tokenizer.bos_token)

    def test_has_its_default_system_text_or_refuses_any(self) -> None:
        """A row's own system text replaces the default; a template without a place for one says so."""
        row = [{"role": "system", "content": "Speak in verse."}, *_messages(ROUNDS[:1])]
        if not (self.template.system or self.template.late_system):
            with pytest.raises(SwiftError, match="system"):
                self.encoded(row)
            return
        text = self.tokenizer.decode(self.encoded(row)["input_ids"])
        assert "Speak in verse." in text
        default = self.template.default_system
        if default:
            assert default not in text
            assert default in self.tokenizer.decode(self.encoded(row[1:])["input_ids"])


@functools.cache
def _tokenizer(specials: tuple[str, ...]) -> Any:
    from swift_testing.tiny import SAMPLE_TEXTS, build_tokenizer

    return build_tokenizer(SAMPLE_TEXTS, ("<pad>", "<s>", "</s>", *specials), bos="<s>", eos="</s>")


def _messages(rounds: list[tuple[str, str]]) -> list[Message]:
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for pair in rounds for role, text in zip(roles, pair, strict=True)]


def _by_jinja(tokenizer: Any, template: str, messages: list[Message]) -> dict[str, Any]:
    return tokenizer.apply_chat_template(
        messages,
        chat_template=template,
        return_dict=True,
        return_assistant_tokens_mask=True,
        preserve_thinking=True,  # as in training, where every trained answer keeps its thoughts
    )


def _answers_start_a_token(tokenizer: Any, text: str, messages: list[Message]) -> bool:
    """Whether no token of the whole text reaches over the start of an answer (then rows are encoded in pieces)."""
    starts = {o[0] for o in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]}
    at, whole = 0, True
    for message in (m for m in messages if m["role"] == "assistant"):  # a system text may stand anywhere
        at = text.index(message["content"], at)
        whole &= at in starts
    return whole


def _for_ollama(messages: list[Message]) -> dict[str, Any]:
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    return {"System": system, "Messages": [{"Role": m["role"], "Content": m["content"]} for m in messages]}


# -- boxes ------------------------------------------------------------------------------------------------
PICTURES = [
    ((640, 480), [("the cat", [10, 20, 110, 220]), ("a dog, far away", [0, 0, 640, 480])]),
    ((1000, 1000), [("左边的人", [333, 1, 334, 999])]),
    ((57, 2311), [("tall", [3, 1000, 50, 2300]), ("thin", [5, 5, 6, 2000]), ("tiny", [20, 7, 21, 8])]),
]
"""(width, height) of a picture and its named boxes in pixels."""


class BoxContract(ComponentContract):
    """A box converter: what it writes it reads back, to within a pixel or a thousandth of the picture."""

    kind = "bbox"
    text = "<ref-object> is at <bbox>. "

    @pytest.mark.parametrize(("size", "named"), PICTURES, ids=["landscape", "square", "tall"])
    def test_reads_back_what_it_writes(self, size: tuple[int, int], named: list[tuple[str, list[int]]]) -> None:
        """Written boxes, read again as pixels of the original picture, are where they were."""
        text = self._written(size, named)
        assert "<bbox>" not in text and "<ref-object>" not in text, f"A placeholder was left: {text!r}"
        boxes = self._read(text, size)
        assert len(boxes) == len(named), f"{len(named)} boxes were written, {len(boxes)} read from {text!r}."
        for item, (ref, box) in zip(boxes, named, strict=True):
            slack = [max(1.0, size[i % 2] / 1000) for i in range(4)]
            near = all(abs(a - b) <= s for a, b, s in zip(item["bbox"], box, slack, strict=True))
            assert near, f"{box} came back as {item['bbox']} from {text!r}."
            assert item["ref"] in (None, ref), f"{ref!r} came back as {item['ref']!r} from {text!r}."

    def test_finds_no_box_in_plain_words(self) -> None:
        """Text without boxes reads as []; a broken box is no box and no exception."""
        for text in ("", "No box here.", "[1, 2", "<box>", "(1,2),(3", "[[]] {} 12 13 14 15"):
            assert self._read(text, (100, 100)) == [], f"A box was read from {text!r}."

    def _written(self, size: tuple[int, int], named: list[tuple[str, list[int]]]) -> str:
        job = self.job()
        objects = {"ref": [n for n, _ in named], "bbox": [b for _, b in named], "bbox_type": "real"}
        objects["image_id"] = [0] * len(named)
        text = self.text * len(named)
        row = Row(messages=[{"role": "user", "content": "<image>"}], images=["x"], objects=objects, image_sizes=[size])
        return str(job.hook.write_boxes(job=job, text=text, row=row))

    def _read(self, text: str, size: tuple[int, int]) -> list[dict[str, Any]]:
        job = self.job()
        return list(job.hook.read_boxes(job=job, text=text, width=size[0], height=size[1]))


# -- agents -----------------------------------------------------------------------------------------------
TWO_CALLS: list[dict[str, Any]] = [
    {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}},
    {"name": "get_weather", "arguments": {"city": "Rome", "days": 1}},
]
"""Calls with which a format's letters are checked."""


def assert_letters(form: Any, calls: str, answered: str) -> None:
    """A format writes `TWO_CALLS` as `calls`, reads them back, and frames the results 20 and 25 as `answered`."""
    names = {"calls": TWO_CALLS} if "calls" in inspect.signature(form.write_results).parameters else {}
    assert form.write_calls(calls=TWO_CALLS) == calls
    assert form.read_calls(text=calls) == TWO_CALLS
    assert form.write_results(results=["20", "25"], **names)[0] == answered


NASTY_CALLS: list[list[dict[str, Any]]] = [
    [{"name": "get_weather", "arguments": {"city": "Paris"}}],
    [{"name": "now", "arguments": {}}],
    [{"name": "f", "arguments": {"n": 1, "x": -2.5, "t": True, "f": False, "none": None, "big": 12345678901234567890}}],
    [{"name": "f", "arguments": {"text": 'a "quoted" \\ back\\slash and \n a line \t tab'}}],
    [{"name": "f", "arguments": {"json": json.dumps({"a": [1, {"b": "c"}]}), "deep": {"a": [1, {"b": [None]}]}}}],
    [{"name": "f", "arguments": {"tags": "</tool_call> <tool_call> </s> <|im_end|> </function> ``` [TOOL_CALLS]"}}],
    [{"name": "f", "arguments": {"words": "Action: g\nAction Input: {}\nObservation: x\nFinal Answer: y"}}],
    [{"name": "f", "arguments": {"braces": "}{ }} {{ ]["}}],
    [{"name": "天气", "arguments": {"城市": "北京 🌧", "empty": "", "space": "  both  "}}],
    [{"name": "f", "arguments": {"i": 1}}, {"name": "g", "arguments": {"i": 2}}, {"name": "f", "arguments": {"i": 1}}],
]
"""Calls that careless formats lose: escapes, braces, their own markers inside strings, numbers, empty arguments."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


class AgentContract(ComponentContract):
    """An agent format: every call that it writes it reads back, exactly."""

    kind = "agent"

    @pytest.mark.parametrize("calls", NASTY_CALLS, ids=lambda calls: str(calls[0]["arguments"])[:40])
    def test_reads_back_what_it_writes(self, calls: list[dict[str, Any]]) -> None:
        """parse(format(calls)) == calls, alone and behind the model's own words."""
        job = self.job()
        text = job.hook.write_calls(job=job, calls=calls)
        for said in (text, "Let me look that up.\n" + text):
            read_back = job.hook.read_calls(job=job, text=said)
            assert read_back == calls, f"Written as {text!r}, the calls {calls} were read back as {read_back}."

    def test_reads_no_call_in_plain_words(self) -> None:
        """An ordinary answer, an empty one and a torn call hold no calls."""
        job = self.job()
        torn = job.hook.write_calls(job=job, calls=NASTY_CALLS[0])
        for text in ("", "The weather is fine.", '{"a": 1}', torn[: len(torn) // 2]):
            assert job.hook.read_calls(job=job, text=text) == [], f"A call was read from {text!r}."

    def test_introduces_the_tools(self) -> None:
        """The system text keeps the user's own words and names each tool with its parameters."""
        job = self.job()
        text = job.hook.write_tools(job=job, tools=TOOLS, system="You are brief.")
        for word in ("You are brief.", "get_weather", "city"):
            assert word in text, f"write_tools leaves out {word!r}: {text!r}"

    def test_writes_results(self) -> None:
        """Every result stands in the text, in order; the second value says whose turn they go on in."""
        job = self.job()
        text, inline = job.hook.write_results(job=job, results=["22 degrees", "sunny"], calls=NASTY_CALLS[-1][:2])
        assert isinstance(inline, bool), "write_results returns (text, whether it goes on inside the answer)."
        assert -1 < text.find("22 degrees") < text.find("sunny"), f"Results are missing or out of order: {text!r}"


# -- loss scales ------------------------------------------------------------------------------------------
TEXTS = [
    "The answer is 3.",
    'Thought: look.\nAction: get_weather\nAction Input: {"city": "Paris"}\nObservation: sunny\nFinal Answer: sun',
    "<think>\n1 + 2\n</think>\n\n<answer>3</answer>",
    "今天北京的天气很好。\n\n```python\nprint(1)\n```\n",
    "Action:\nAction:\n",
]


class LossScaleContract(ComponentContract):
    """Weights of an answer's parts: the pieces are the text, and no weight is negative."""

    kind = "loss_scale"

    @pytest.mark.parametrize("text", TEXTS)
    @pytest.mark.parametrize("role", ["assistant", "user", "system", "tool", "frame"])
    @pytest.mark.parametrize("last", [True, False], ids=["last", "earlier"])
    def test_pieces_join_to_the_text(self, text: str, role: str, last: bool) -> None:
        """Whoever speaks, nothing is lost or added, and every weight is a number ≥ 0."""
        job = self.job()
        pieces = job.hook.weigh(job=job, role=role, text=text, last=last, query="What is 1 + 2?")
        assert "".join(p for p, _ in pieces) == text, f"The pieces {pieces} do not join to {text!r}."
        assert all(math.isfinite(w) and w >= 0 for _, w in pieces), f"A weight is negative or no number: {pieces}"

    def test_trains_something(self) -> None:
        """At least one kind of answer counts; a scale of zeros would train nothing."""
        job = self.job()
        weights = [
            w
            for text in TEXTS
            for _, w in job.hook.weigh(job=job, role="assistant", text=text, last=True, query="What is 1 + 2?")
        ]
        assert any(weights), "Every weight of every answer is 0: nothing would be trained."
