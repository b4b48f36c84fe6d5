"""The calculator as a component, its arithmetic, and rollouts of several turns with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_plugin_calculator import SCHEMA, Calculator, compute
from swift_plugin_runtime.rollouts.rollout import Completion, _following, _joined, learning_row
from swift_testing import EnvironmentContract
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer
from swift_testing.rewards import rewarding

from swift_core import SwiftError, hookimpl
from swift_core.catalogue.entries import Entry

CALL = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "12 * 3"}}\n</tool_call>'
TOLD = {
    "trainer": "grpo",
    "reward": ["accuracy"],
    "environment": ["calculator"],
    "template": "qwen",
    "num_generations": 2,
}
ROWS = [{"query": "What is 12 * 3?", "tools": [SCHEMA]}, {"query": "hello"}]


class TestContract(EnvironmentContract):
    """Calls get numbers; an answer without a call ends the conversation."""

    name = "calculator"
    options = {"template": "qwen", "agent": "hermes"}
    row = ROWS[0]
    heard = CALL
    said = "36"
    silent = "It is 36."


@pytest.mark.parametrize(
    ("expression", "value"),
    [("12 * 3", 36), ("-(2 + 3) ** 2", -25), ("7 // 2 % 2", 1), ("1 / 4", 0.25), ("2 ** 0.5", 2**0.5), ("0 ** 5", 0)],
)
def test_arithmetic(expression: str, value: float) -> None:
    assert compute(expression) == pytest.approx(value)


@pytest.mark.parametrize(
    "expression",
    ["__import__('os').getcwd()", "9 ** 9 ** 9 ** 9", "x + 1", "(1).bit_length()", "[1] * 3", "'a' * 9", "True + 1",
     "1 / 0", "1 +", "(" * 150 + "1" + ")" * 150, "10 ** 299 * 10 ** 299", "(-8) ** 0.5", "lambda: 1"],
)  # fmt: skip
def test_anything_else_is_answered_with_an_error(expression: str) -> None:
    call = {"name": "calculator", "arguments": {"expression": expression}}
    assert Calculator(longest_expression=1000).result(call).startswith("error: ") or expression.startswith("((")


@pytest.mark.parametrize(
    "expression",
    ["9" * 5000, "-" * 5000 + "1", "(" * 5000 + "1" + ")" * 5000, "1e400", "1e308 * 10", "0 ** -1", "2 ** -1074",
     "0.5 ** 10 ** 6", "10**300 * 10**300 // 7", "\x00", "1 if 1 else 2", "().__class__", "1;2", "x := 1", "f'{1}'"],
)  # fmt: skip
def test_hostile_expressions_are_bounded(expression: str) -> None:
    """Long digits, deep nesting, overflow, names and attributes: each is an error in words, none a crash."""
    call = {"name": "calculator", "arguments": {"expression": expression}}
    assert Calculator(longest_expression=20000).result(call).startswith("error: ")


def test_huge_powers_of_one_are_still_numbers() -> None:
    assert compute("1 ** 10 ** 300") == compute("(-1) ** 10 ** 300") == 1


def test_calls_that_do_not_fit_are_answered_too() -> None:
    calculator = Calculator()
    assert calculator.result({"name": "calculator", "arguments": {"expression": " 10 / 4 "}}) == "2.5"
    assert "no tool 'search'" in calculator.result({"name": "search", "arguments": {}})
    assert "give a text" in calculator.result({"name": "calculator", "arguments": {"expression": 3}})
    assert "200 characters" in calculator.result({"name": "calculator", "arguments": {"expression": "1" * 201}})


def test_a_call_is_answered_and_the_model_goes_on(tmp_path: Path) -> None:
    """The drawn tokens stay, the template's words for the result stand between, and only the model's are trained."""
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, max_completion_length=8, **TOLD, agent="hermes")
    job, processor = trainer.job, trainer.processing_class
    ids = processor(CALL + "<|im_end|>")["input_ids"]
    first = Completion(trainer.train_dataset[0], ids, CALL, ended=True)
    asked = _following(job, first, processor)
    text = processor.decode(asked.inputs["input_ids"])
    assert text.endswith(CALL + "<|im_end|>\n<|im_start|>user\n<tool_response>\n36\n</tool_response><|im_end|>\n"
                         "<|im_start|>assistant\n")  # fmt: skip
    answer = processor("It is 36.<|im_end|>")["input_ids"]
    both = _joined(first, Completion(asked, answer, "It is 36.", ended=True))
    row = learning_row(both)
    trained = [i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
    assert trained == ids + answer and both.text == "It is 36."
    assert row["input_ids"] == asked.inputs["input_ids"] + answer
    assert _following(job, both, processor) is None, "An answer without a call ends the conversation."
    assert _following(job, Completion(trainer.train_dataset[0], ids, CALL, ended=False), processor) is None


class Insists:
    """Says "again" to every answer, as the user."""

    swift_api = 1

    @hookimpl
    def respond(self, row: Any) -> list[dict[str, str]]:
        return [{"role": "user", "content": "again"}]


class Shy:
    """Has nothing to say."""

    swift_api = 1

    @hookimpl
    def respond(self) -> None:
        return None


class Late:
    """Would say something, were it asked first."""

    swift_api = 1

    @hookimpl
    def respond(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": "late"}]


OTHERS = {"shy": "Shy", "insists": "Insists", "late": "Late"}


@pytest.mark.parametrize("method", ["grpo", "ppo"])
def test_rollouts_of_several_turns_are_learnt_from(method: str, tmp_path: Path) -> None:
    """Up to --max_turns answers, each trained, what is said between them not; a step is made on them."""
    catalogue = rewarding(lambda _, texts: [float(len(text)) for text in texts])
    catalogue.entries += [Entry("environment", n, "pytest", "0", "", f"{__name__}:{c}") for n, c in OTHERS.items()]
    told = {
        "reward": ["digits"],
        "environment": list(OTHERS),
        "num_generations": 2,
        "max_completion_length": 6,
        "max_turns": 3,
        "max_steps": 1,
    }
    trainer = build_trainer(tiny_model("qwen2"), ROWS[1:] * 2, tmp_path, catalogue, trainer=method, beta=0.1, **told)
    end = trainer.processing_class.convert_tokens_to_ids("<|im_end|>")
    policy = getattr(trainer.model, "policy", trainer.model)
    favoured = torch.nn.functional.one_hot(torch.tensor(end), policy.lm_head.out_features) * 6.0
    policy.lm_head.register_forward_hook(lambda _module, _inputs, logits: logits + favoured)
    rows = trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]
    decode = trainer.processing_class.decode
    said = [decode(row["input_ids"]).count("user\nagain<|im_end|>") for row in rows]
    assert 0 < max(said) <= 2
    assert not any("late" in decode(row["input_ids"]) for row in rows), "The first that responds is heard."
    for row, count in zip(rows, said, strict=True):
        trained = [i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
        assert "again" not in decode(trained) and trained.count(end) >= count
    trainer.train()
    line = next(line for line in trainer.state.log_history if "completions/turns" in line)
    assert 1 < line["completions/turns"] <= 3


def test_templates_that_rewrite_answers_are_refused(tmp_path: Path) -> None:
    """ReAct goes on inside the answer; its rollouts would be learnt from other tokens than were drawn."""
    trainer = build_trainer(tiny_model("qwen2"), ROWS, tmp_path, max_completion_length=8, **TOLD, agent="react")
    arguments = json.dumps({"expression": "1 + 1"})
    text = f"Thought: add\nAction: calculator\nAction Input: {arguments}\n"
    done = Completion(trainer.train_dataset[0], [5, 6], text, ended=True)
    with pytest.raises(SwiftError, match=r"rows.jsonl:1: the template writes an answer otherwise"):
        _following(trainer.job, done, trainer.processing_class)
