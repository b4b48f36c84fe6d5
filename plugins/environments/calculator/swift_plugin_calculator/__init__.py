"""A calculator for rollouts of several turns: it answers calls with numbers, and runs nothing but arithmetic."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl, option
from swift_core.contract.components import Environment
from swift_core.contract.job import Job

LARGEST = 10**300
"""Results above this are refused, and so are powers that would take long to compute."""

BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
UNARY: dict[type, Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}

SCHEMA = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Computes an arithmetic expression of numbers, + - * / // % ** and parentheses.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}
"""For the column `tools` of a data set whose rows may call it."""


@dataclass(kw_only=True, eq=False)
class Calculator(Environment):
    """Answers calls to `calculator` (argument `expression`) with the number, or with what is wrong."""

    swift_api = 1

    tool_name: str = option("calculator", "The tool's name in calls.")
    longest_expression: int = option(200, "Longest expression in characters.", ge=1)

    @hookimpl
    def respond(self, job: Job, row: Any) -> list[dict[str, str]]:
        calls = job.hook.read_calls(job=job, text=row.answer) or []
        return [{"role": "tool", "content": self.result(call)} for call in calls]

    def result(self, call: dict[str, Any]) -> str:
        """The number as text, or what is wrong with the call."""
        expression = call["arguments"].get("expression") if isinstance(call["arguments"], dict) else None
        if call["name"] != self.tool_name:
            return f"error: there is no tool {call['name']!r}, only {self.tool_name!r}"
        if not isinstance(expression, str) or len(expression) > self.longest_expression:
            return f"error: give a text of at most {self.longest_expression} characters as expression"
        try:
            return written(compute(expression))
        except (ArithmeticError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return f"error: {error}"


def compute(expression: str) -> int | float:
    """The value of an expression of numbers, + - * / // % ** and parentheses; ValueError for anything else."""
    return _value(ast.parse(expression.strip(), mode="eval").body)


def _value(node: ast.AST) -> int | float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return _bounded(node.value)
    if isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        return UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        return _bounded(BINARY[type(node.op)](_value(node.left), _value(node.right)))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _power(_value(node.left), _value(node.right))
    raise ValueError("only numbers, + - * / // % ** and parentheses are computed")


def _power(base: int | float, exponent: int | float) -> int | float:
    """The power, once its size is known to be small."""
    if base and abs(exponent) * abs(math.log10(abs(base))) > math.log10(LARGEST):
        raise ValueError("the result is too large")
    if base < 0 and exponent != int(exponent):
        raise ValueError("a root of a negative number is not real")
    return base**exponent


def _bounded(value: int | float) -> int | float:
    if abs(value) > LARGEST:
        raise ValueError("the result is too large")
    return value


def written(value: int | float) -> str:
    """Whole numbers without a decimal point, others with twelve digits."""
    return str(int(value)) if value == int(value) else f"{value:.12g}"
