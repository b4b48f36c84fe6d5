"""The contract of environments: what they say to answers can be gone on from, and they end."""

from __future__ import annotations

import copy
from typing import Any

from swift_core.contract.row import Row, check_row
from swift_core.data.convert import to_row
from swift_testing.contracts import CHAT, ComponentContract


class EnvironmentContract(ComponentContract):
    """An environment: messages that go on behind an answer, or nothing."""

    kind = "environment"
    row: dict[str, Any] = {}
    """A row as in a data set, with the tools and columns that the environment reads."""
    heard = ""
    """An answer of the model to which the environment responds."""
    said = ""
    """A text that stands in what it responds to `heard`."""
    silent: str | None = None
    """An answer after which it says nothing; None where it always responds."""

    def answered(self, answer: str) -> Row:
        """The row with this answer of the model, as it is shown to the environment."""
        row = to_row(copy.deepcopy(self.row or CHAT[1])).prompt()
        return row.with_messages([*row.messages, {"role": "assistant", "content": answer}])

    def respond(self, row: Row) -> list[dict[str, Any]]:
        """What the environment says to the row's answer."""
        job = self.job()
        (item,) = job.many("environment")
        return job.call(item, "respond", row=row) or []

    def test_responds_with_messages_to_go_on_from(self) -> None:
        """Tool results or a user's words, which make a sound row behind the answer."""
        row = self.answered(self.fact("heard", "an answer of the model to which the environment responds."))
        said = self.respond(row)
        assert said, f"Nothing is said to {self.heard!r}."
        roles = {message["role"] for message in said}
        assert roles <= {"tool", "user"}, f"The world speaks as tool or user, not as {', '.join(sorted(roles))}."
        check_row(row.with_messages([*row.messages, *said]))
        assert self.said in "".join(m["content"] for m in said), f"{self.said!r} stands nowhere in {said}."

    def test_says_nothing_where_the_conversation_is_over(self) -> None:
        """None or an empty list ends the rollout."""
        if self.silent is not None:
            assert not self.respond(self.answered(self.silent)), f"Something is said to {self.silent!r}."

    def test_leaves_the_row_as_it_is(self) -> None:
        """A row is asked several times, and in every epoch: what an environment remembers, it keeps elsewhere."""
        row = self.answered(self.heard or "The answer is 3.")
        before = copy.deepcopy(row)
        self.respond(row)
        assert row == before, "The environment changed the row that it was shown."

    def test_any_answer_is_met(self) -> None:
        """What a model writes before it has learnt anything must not end the run."""
        for answer in ("The answer is 3.", "北京\n" * 50, '{"name": ', "<tool_call>\n{}\n</tool_call>", "\u0000\ufffd"):
            self.respond(self.answered(answer))
