"""The template `own`: rows as the checkpoint's own chat template writes them.

A fitted declaration writes them where it can, and is verified row by row; where it differs, or where none fits, each
answer is derived from the chat template itself. What is unsound is refused with its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.templates.chat import Message, Refused
from swift_core.templates.compare import same_text, text_of, written
from swift_core.templates.declaration import Template, wanted_thoughts
from swift_core.templates.derive import Derived, Deriver
from swift_core.templates.render import Frames, Span
from swift_core.templates.turns import with_content_written

if TYPE_CHECKING:
    from swift_core.contract.job import Job

CHECKED = 1000
"""Rows of a job that are verified although nothing about them is odd."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnTemplate(Template):
    """A chat template of a checkpoint, and the declaration that was fitted to it.

    fitted: whether the declaration holds; else only its `stop`, `media` and `agent` are right. tools: whether rows with
    tools are written by the chat template, and not by an agent format that the user named.
    """

    deriver: Deriver | None = None
    fitted: bool = False
    writes_tools: bool = True

    def spans(self, job: Job, row: Row, tokenizer: Any, generation: bool) -> list[Span] | None:
        """The row by the chat template; None where the fitted declaration writes the same.

        Raises SwiftError, with the row's place, for a row that it cannot write.
        """
        if self.deriver is None:
            raise SwiftError("--template own: the checkpoint's chat template was not read before the first row.")
        if row.tools and not self.writes_tools:
            self._refuse_unfitted(row)
            return None
        messages = with_content_written(job, row, self)
        try:
            if generation:
                return [Span(self._prompt(job, row, messages))]
            if self.fitted and not self._is_doubtful(job, row, messages):
                return None
            if self.fitted and not row.tools and self._is_verified(messages, tokenizer):
                return None
            return _Answers(self.deriver, job, row, tokenizer).spans(messages)
        except Refused as error:
            raise SwiftError(f"{row.where}: {error}. Another template is chosen with --template NAME.") from None

    def _refuse_unfitted(self, row: Row) -> None:
        if not self.fitted:
            raise SwiftError(
                f"{row.where}: the row has tools, and an agent format needs a declared template. Leave --agent out, "
                "so that the checkpoint's chat template writes them, or say --template NAME."
            )

    def _prompt(self, job: Job, row: Row, messages: list[Message]) -> str:
        assert self.deriver is not None
        asked = messages[:-1] if messages[-1]["role"] == "assistant" else messages
        return self.deriver.form.prompt(asked, row.tools, **self._switches(job, row.thinking))

    def _switches(self, job: Job, wanted: bool | None) -> dict[str, bool]:
        """--enable_thinking, or what the row wants, and --preserve_thinking as the chat template calls them."""
        assert self.deriver is not None
        form, switch = self.deriver.form, {}
        wanted = wanted_thoughts(job.options, wanted)
        if wanted is not None:
            switch = next((s for s in form.switches if s and wanted in s.values()), {})
        keeps = getattr(job.options, "preserve_thinking", None)
        if keeps is None or (not keeps and not form.keeps):
            return switch
        if not form.keeps:
            raise Refused("it has no switch that keeps the thoughts of earlier answers (--preserve_thinking)")
        return switch | {name: value is keeps for name, value in form.keeps.items()}

    def _is_doubtful(self, job: Job, row: Row, messages: list[Message]) -> bool:
        """Whether the row is to be verified: the first ones, and all that are not plain."""
        seen = job.memo["rows of own"] = job.memo.get("rows of own", 0) + 1
        if seen <= CHECKED or row.tools:
            return True
        contents = [m.get("content") or "" for m in messages]
        odd = any(c != c.strip() or not c for c in contents) or any("think>" in c for c in contents)
        return odd or any(m.get("reasoning_content") or m.get("tool_calls") for m in messages)

    def _is_verified(self, messages: list[Message], tokenizer: Any) -> bool:
        assert self.deriver is not None
        form = self.deriver.form
        try:
            ours = text_of(written(self, messages, tokenizer))
        except SwiftError:
            return False
        return same_text(ours, form.text(messages), (*form.stops, *self.stop_words(tokenizer)))


unsettled = OwnTemplate(name="own", agent="", summary="The checkpoint's own chat template.")
"""Stands for it until the tokenizer is loaded."""


class _Answers:
    """The spans of a row, answer by answer."""

    def __init__(self, deriver: Deriver, job: Job, row: Row, tokenizer: Any):
        self.deriver, self.job, self.row = deriver, job, row
        self.frames = Frames.of(job, tokenizer)

    def spans(self, messages: list[Message]) -> list[Span]:
        """Prompt and answer in turn. Refused where an answer that is trained is not sound."""
        places = [n for n, m in enumerate(messages) if m["role"] == "assistant"]
        derived = [(self._answer(messages, n), n) for n in places if self._counts(messages, n)]
        weighed = [(answer, self._pieces(messages, n, answer, n == places[-1])) for answer, n in derived]
        trained = [pair for pair in weighed if any(w > 0 for _, w in pair[1])] or weighed[-1:]
        if not trained:
            raise Refused("no answer of the row can be trained")
        if any(not later.prompt.startswith(answer.whole) for (answer, _), (later, _) in pairwise(trained)):
            self._say_last(len(trained))
            trained = trained[-1:]
        return self._laid(trained)

    def _counts(self, messages: list[Message], n: int) -> bool:
        """Whether an answer may be trained: something is asked before it, and the row does not forbid it."""
        return messages[n].get("loss") is not False and any(m["role"] == "user" for m in messages[:n])

    def _answer(self, messages: list[Message], n: int) -> Derived:
        return self.deriver.answer(messages[: n + 1], self.row.tools)

    def _pieces(self, messages: list[Message], n: int, answer: Derived, last: bool) -> list[tuple[str, float]]:
        """What is said in weighed pieces, the end aside."""
        message = messages[n]
        query = next((m.get("content") or "" for m in reversed(messages[:n]) if m["role"] == "user"), "")
        words = answer.said[: len(answer.said) - len(answer.end)]
        pieces = self.frames.weights("assistant", words, last, query)
        if message.get("loss") is True and not any(w for _, w in pieces):
            pieces = [(words, 1.0)]
        scale = message.get("loss_scale", 1.0)
        return [(text, weight * scale) for text, weight in pieces]

    def _laid(self, trained: list[tuple[Derived, list[tuple[str, float]]]]) -> list[Span]:
        spans: list[Span] = []
        done = ""
        for answer, pieces in trained:
            frame = answer.prompt[len(done) :]
            spans += [Span(t, w) for t, w in self.frames.weights("frame", frame, False, "") if t]
            spans += [Span(t, w, True) for t, w in pieces if t]
            spans.append(Span(answer.end, float(any(w > 0 for _, w in pieces)), True))
            done = answer.whole
        return spans

    def _say_last(self, count: int) -> None:
        if not self.job.memo.get("said last"):
            self.job.memo["said last"] = True
            self.job.say(
                f"{self.row.where}: the checkpoint's chat template writes earlier answers otherwise once another round "
                f"follows. Of the {count} answers of this row, and in all rows like it, only the last is trained."
            )
