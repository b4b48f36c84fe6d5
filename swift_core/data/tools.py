"""Tool schemas and tool calls of published rows as ours, checked."""

from __future__ import annotations

from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.data.values import loaded, shown, without_nulls

Raw = dict[str, Any]

SCHEMA_NAMES = ("parameters", "input_schema", "inputSchema")
"""Where a tool's parameters stand: with OpenAI, with Anthropic, in the Model Context Protocol."""

KINDS = {"name": str, "description": str, "parameters": dict}


def read_tools(value: Any, where: str) -> list[Raw]:
    """Tools as OpenAI function schemas, from a list, JSON text, or bare function objects.

    Keys that are null are left out: no schema means anything by them, and Arrow fills them in.
    Raises SwiftError, which begins with `where`, where `value` is not a list of tools.
    """
    tools = loaded(value or [], where)
    if not isinstance(tools, list):
        raise SwiftError(f"{where}: tools must be a list of function schemas, found {type(tools).__name__}.")
    return [_tool(loaded(tool, where), f"{where}, tool {number}") for number, tool in enumerate(tools, 1)]


def _tool(tool: Any, where: str) -> Raw:
    function = tool.get("function", tool) if isinstance(tool, dict) else tool
    if not isinstance(function, dict) or not function.get("name"):
        raise SwiftError(f"{where}: a tool is a function with a name, found {shown(tool)}.")
    outer = tool if "function" in tool else {}
    function = _with_parameters({k: v for k, v in function.items() if k != "type" or v != "function"})
    for key, kind in KINDS.items():
        if key in function and not isinstance(function[key], kind):
            raise SwiftError(f"{where}: its {key} must be {_said(kind)}, found {shown(function[key])}.")
    return {"type": "function", **without_nulls(outer), "function": function}


def _with_parameters(function: Raw) -> Raw:
    given = without_nulls(function)
    other = next((name for name in SCHEMA_NAMES[1:] if name in given), None)
    return {"parameters" if k == other else k: v for k, v in given.items()} if other else given


def _said(kind: type) -> str:
    return "text" if kind is str else "a JSON object"


def read_calls(value: Any, where: str) -> list[Raw]:
    """Calls as `{"name", "arguments": dict}` from a list of them or a single one, also as JSON text."""
    calls = loaded(value, where)
    return [read_call(call, where) for call in (calls if isinstance(calls, list) else [calls])]


def read_call(call: Any, where: str) -> Raw:
    """One call from OpenAI's form, a plain object or JSON text.

    Raises SwiftError, which begins with `where`, for a call without a name or with other arguments than an object.
    """
    call = loaded(call, where)
    call = call.get("function", call) if isinstance(call, dict) else call
    name = call.get("name") if isinstance(call, dict) else None
    if not isinstance(name, str) or not name:
        raise SwiftError(f"{where}: a tool call has a name and arguments, found {shown(call)}.")
    arguments = loaded(call.get("arguments", call.get("parameters")) or {}, where)
    if not isinstance(arguments, dict):
        raise SwiftError(f"{where}: the arguments of {name!r} must be a JSON object, found {shown(arguments)}.")
    return {"name": name, "arguments": arguments}


def without_filled_nulls(messages: list[Raw], tools: list[Raw]) -> None:
    """Drop arguments that are null and that the called tool does not declare: another tool's, filled in by a table."""
    declared = {t["function"]["name"]: _properties(t["function"]) for t in tools}
    for call in (call for message in messages for call in message.get("tool_calls", ())):
        known = declared.get(call["name"])
        if known is not None and None in call["arguments"].values():
            call["arguments"] = {k: v for k, v in call["arguments"].items() if v is not None or k in known}


def _properties(function: Raw) -> Any:
    """The arguments that a tool declares; None where it does not say."""
    properties = function.get("parameters", {}).get("properties")
    return properties if isinstance(properties, dict) else None
