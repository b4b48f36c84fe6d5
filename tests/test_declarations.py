"""What a component declares is known to the contract, or somebody is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from swift_core import Supported
from swift_core.contract.components import BASES, EngineTraits, Quantizer, Reward, Trainer, Tuner, declared
from swift_core.contract.declarations import attributes, strange_attributes
from swift_core.contract.kinds import KINDS


@dataclass(kw_only=True, eq=False)
class Whole(Tuner):
    """Everything that may stand in a class."""

    swift_api = 1
    runtime_api = 1
    capabilities = {"quantized": Supported()}
    trains_whole_weights = True
    MARKS: ClassVar[tuple[str, ...]] = ("a",)
    _secret = 3
    whole_rank: int = 8

    @property
    def width(self) -> int:
        """A property is no declaration."""
        return self.whole_rank

    def helper(self) -> int:
        """Nor is a method."""
        return 1


@dataclass(kw_only=True, eq=False)
class Heir(Whole):
    """A class that gives its own value to a constant of its base."""

    MARKS = ("b",)


def _class(kind: str, **values: Any) -> type:
    return type("Made", (BASES[kind],), {"swift_api": 1, **values})


@pytest.mark.parametrize("found", [Whole, Heir, Whole()])
def test_what_the_contract_knows_is_right(found: Any) -> None:
    assert strange_attributes(found, "tuner") == []


WRONG = [
    ("trainer", {"need_answer": False}, "Did you mean 'needs_answer'?"),
    ("trainer", {"__annotations__": {"stream": "ClassVar[bool]"}, "stream": True}, "Did you mean 'streams'?"),
    ("tuner", {"streams": True}, "It belongs to the kind trainer."),
    ("tuner", {"rank": 8}, "An option needs a type, `rank: int = …`"),
    ("trainer", {"streams": "yes"}, "sets 'streams' to 'yes', which is no bool."),
    ("backend", {"environment": ["vllm"]}, "which is no Requirements."),
    ("quantizer", {"reads": "awq"}, "sets 'reads' to 'awq', which is no tuple."),
    ("reward", {"capabilities": ["lora"]}, "which is no Mapping."),
    ("trainer", {"need_answer": property(lambda self: False)}, "Did you mean 'needs_answer'?"),
    ("optimizer", {"capabilites": {}}, "Did you mean 'capabilities'?"),
]


@pytest.mark.parametrize(("kind", "values", "said"), WRONG)
def test_what_nothing_reads_is_told(kind: str, values: dict[str, Any], said: str) -> None:
    (line,) = strange_attributes(_class(kind, **values), kind)
    assert said in line


def test_a_class_that_inherits_nothing_is_held_to_the_same() -> None:
    made = type("Loose", (), {"swift_api": 1, "draw": True})
    assert strange_attributes(made, "trainer") == [
        "sets 'draw', which a trainer does not declare. Did you mean 'draws'?"
    ]


def test_the_default_stands_where_a_component_says_nothing() -> None:
    nothing = object()
    assert declared(nothing, Trainer, "needs_answer") is True
    assert declared(nothing, Quantizer, "reads") == ()
    assert declared(nothing, Reward, "in_main_thread") is False
    assert declared(nothing, EngineTraits, "batches_itself") is False
    assert declared(Whole, Tuner, "trains_whole_weights") is True
    with pytest.raises(AttributeError):
        declared(nothing, Trainer, "needs_anwser")


def test_every_kind_has_its_base() -> None:
    assert set(BASES) == set(KINDS) - {"command"}
    for base in BASES.values():
        assert "swift_api" in attributes(base)
