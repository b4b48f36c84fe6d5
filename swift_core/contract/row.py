"""The standard row: what every data set becomes before a template sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from swift_core.contract.errors import SwiftError

ROLES = ("system", "user", "assistant", "tool")


class EmptyAnswer(SwiftError):
    """A row whose answer says nothing."""


@dataclass
class Row:
    """One example.

    messages: `{"role": system | user | assistant | tool, "content": str}`, an assistant's also
    `tool_calls: [{"name", "arguments"}]`, `reasoning_content` (thoughts: str), `loss` (bool: train this
    turn or not) and `loss_scale` (float).
    Media placeholders `<image>`, `<video>`, `<audio>` stand in the content, in the order of the lists below.
    images, videos, audios: paths, bytes, arrays or PIL images. tools: OpenAI function schemas.
    objects: `{"ref": [str], "bbox": [[x1, y1, x2, y2]], "bbox_type": real | norm_1 | norm_1000,
    "image_id": [int]}`. image_sizes: (width, height) in pixels per image, filled when they are opened.
    video_rates: frames per second of each video, filled when they are opened.
    rejected: the messages of the worse conversation (preference methods). label: target of
    classification and of KTO. thinking: whether the answer to come begins with thoughts; None:
    as the job says. literal: whether `<video>` is a word of the text where the row has no video, as in a question about
    HTML; else it is a mistake for models that read videos. extra: every other column, kept for rewards. where:
    file:line or id:index.
    """

    messages: list[dict[str, Any]]
    images: list[Any] = field(default_factory=list)
    videos: list[Any] = field(default_factory=list)
    audios: list[Any] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)
    image_sizes: list[tuple[int, int]] = field(default_factory=list)
    video_rates: list[float] = field(default_factory=list)
    rejected: list[dict[str, Any]] | None = None
    label: Any = None
    thinking: bool | None = None
    literal: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    where: str = "row"

    @property
    def media(self) -> dict[str, list[Any]]:
        """The media lists that are not empty, by modality name."""
        if not (self.images or self.videos or self.audios):
            return {}
        named = {"image": self.images, "video": self.videos, "audio": self.audios}
        return {name: values for name, values in named.items() if values}

    @property
    def answer(self) -> str:
        """The last assistant turn's text, or an empty string."""
        last = self.messages[-1] if self.messages else {}
        return str(last.get("content") or "") if last.get("role") == "assistant" else ""

    def prompt(self) -> Row:
        """The same row without its last assistant turn, ready to be answered."""
        import dataclasses

        keep = self.messages[:-1] if self.messages and self.messages[-1]["role"] == "assistant" else self.messages
        return dataclasses.replace(self, messages=list(keep))

    def with_messages(self, messages: list[dict[str, Any]]) -> Row:
        """The same row with another conversation."""
        import dataclasses

        return dataclasses.replace(self, messages=messages)

    def with_system(self, system: str | None) -> Row:
        """The same row, beginning with this system text, an empty one too, where it has none of its own."""
        if system is None or self.messages[0]["role"] == "system":
            return self
        return self.with_messages([{"role": "system", "content": system}, *self.messages])


def check_row(row: Row) -> Row:
    """The row itself; a SwiftError with its place where it cannot be trained or asked."""
    if not row.messages:
        raise SwiftError(f"{row.where}: the row has no messages.")
    for number, message in enumerate(row.messages, 1):
        _check_message(message, f"{row.where}, message {number}")
    _check_order(row)
    check_placeholders(row, row.media)
    if row.rejected is not None:
        _check_rejected(row)
    _check_objects(row)
    return row


def check_asked(row: Row) -> Row:
    """The row itself; a SwiftError with its place where nobody could write it as a prompt.

    Unlike a row of a data set it may hold turns in any order, and answers that say nothing: clients of a server send
    what happened. Whether it can be written is then the template's to say.
    """
    if not row.messages:
        raise SwiftError(f"{row.where}: the row has no messages.")
    for number, message in enumerate(row.messages, 1):
        _check_form(message, f"{row.where}, message {number}")
    check_placeholders(row, row.media)
    _check_objects(row)
    return row


def _check_rejected(row: Row) -> None:
    """The worse conversation must be as sound as the better one."""
    import dataclasses

    if not row.rejected:
        raise EmptyAnswer(f"{row.where}: the rejected answer is empty.")
    check_row(dataclasses.replace(row, messages=row.rejected, rejected=None, where=f"{row.where}, rejected"))


def _check_message(message: Any, where: str) -> None:
    _check_form(message, where)
    content = message.get("content") or ""
    if message["role"] == "assistant" and not (content.strip() or message.get("tool_calls")):
        raise EmptyAnswer(f"{where}: the assistant says nothing. Remove the row or give it an answer.")


def _check_form(message: Any, where: str) -> None:
    if not isinstance(message, dict) or "role" not in message:
        raise SwiftError(f"{where}: a message is an object with role and content, found {message!r}.")
    role = message["role"]
    if role not in ROLES:
        raise SwiftError(f"{where}: unknown role {role!r}. Roles are {', '.join(ROLES)}.")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise SwiftError(f"{where}: the content must be text, found {type(content).__name__}.")
    if content and not _is_unicode(content):
        raise SwiftError(f"{where}: the text holds half of a character (a lone surrogate); write it anew.")


def _is_unicode(text: str) -> bool:
    """Whether a text can be written at all: JSON may name halves of characters, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_order(row: Row) -> None:
    before = None
    for number, message in enumerate(row.messages, 1):
        role = message["role"]
        if role == "system" and number > 1:
            raise SwiftError(f"{row.where}, message {number}: the system message must come first.")
        if role == before and role != "tool":
            raise SwiftError(f"{row.where}, message {number}: two {role} messages in a row.")
        if role == "tool" and before not in ("assistant", "tool"):
            raise SwiftError(f"{row.where}, message {number}: a tool result must follow the assistant's call.")
        before = role


def check_question(row: Row) -> None:
    """SwiftError where nobody asks anything, or the user says nothing."""
    asked = [(n, m.get("content") or "") for n, m in enumerate(row.messages, 1) if m["role"] == "user"]
    if not asked:
        left = f" Columns that were not read: {', '.join(map(str, row.extra))}."[:300] if row.extra else ""
        raise SwiftError(
            f"{row.where}: the row has no question, nobody but the assistant speaks.{left} Map the question's column "
            "with --columns; whole texts are for `swift pt`."
        )
    for number, text in asked:
        if not text.strip():
            raise SwiftError(f"{row.where}, message {number}: the user says nothing. Remove the row or give it words.")


def check_placeholders(row: Row, modalities: Iterable[str]) -> None:
    """As many placeholders of each modality as media; SwiftError where not.

    modalities: those of the row's media, or those that the model reads. For others `<image>` is a word of the text, and
    for all that a `literal` row has none of.
    """
    text = "".join(m.get("content") or "" for m in row.messages)
    for name in modalities:
        values, count = row.media.get(name, []), text.count(f"<{name}>")
        if row.literal and not values:
            continue
        if count != len(values) and name != "text":
            raise SwiftError(
                f"{row.where}: {count} <{name}> in the text but {len(values)} given in {name}s. They must agree."
            )


def _check_objects(row: Row) -> None:
    """As many `<bbox>` as boxes; a row that awaits its answer may hold more boxes, for the evaluator."""
    if not row.objects and not row.images:
        return  # text about boxes
    text = "".join(m.get("content") or "" for m in row.messages)
    boxes, marks = len(row.objects.get("bbox") or []), text.count("<bbox>")
    if marks > boxes or (marks < boxes and row.messages[-1]["role"] == "assistant"):
        raise SwiftError(f"{row.where}: {marks} <bbox> in the text but {boxes} in objects.bbox. They must agree.")
    refs, marks = len(row.objects.get("ref") or []), text.count("<ref-object>")
    if marks > refs:
        raise SwiftError(f"{row.where}: {marks} <ref-object> in the text but only {refs} in objects.ref.")
