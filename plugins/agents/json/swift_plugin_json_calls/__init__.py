"""Tool calls with their arguments as one JSON object, in the marks of each family.

Each class is a format: what stands around a name and its arguments, how tools are introduced and how results are
framed. Facts: the chat templates of the checkpoints, mistral-common 1.9 and ms-swift 4.6.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from swift_core import hookimpl
from swift_core.contract.components import Agent
from swift_core.data.calls import as_call, escaped, read_json, read_name, write_json, write_name

Call = dict[str, Any]
Tool = dict[str, Any]

NAME = r"(?P<name>[^\s<>\"=|{}\[\]]+)"
"""A name as it stands in a text."""


@dataclass(kw_only=True, eq=False)
class JsonCalls(Agent):
    """What these formats share: a call is a pattern up to its JSON, and what must follow that.

    opening: up to the JSON, with the name as the group `name`; closing: what must follow. ends: marks that no argument
    may hold, since a reader would end the call there. introduction: of the tools, holds `{tools}`. joint: between two
    calls; around: around all of them; before_calls: between words and calls of one turn. result: around each result;
    around_results: around all; between_results: between two.
    """

    swift_api = 1
    opening: ClassVar[re.Pattern[str]]
    closing: ClassVar[re.Pattern[str]] = re.compile("")
    ends: ClassVar[tuple[str, ...]] = ()
    introduction: ClassVar[str] = ""
    joint: ClassVar[str] = "\n"
    around: ClassVar[tuple[str, str]] = ("", "")
    result: ClassVar[tuple[str, str]] = ("", "")
    between_results: ClassVar[str] = ""
    around_results: ClassVar[tuple[str, str]] = ("", "")
    before_calls: ClassVar[str] = "\n"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        text = self.introduction.replace("{tools}", self.listed(tools))
        return f"{system}\n\n{text}" if system else text

    @hookimpl
    def write_calls(self, calls: list[Call]) -> str:
        return self.joint.join(self.written(n, call) for n, call in enumerate(calls)).join(self.around)

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        text = self.between_results.join(result.join(self.result) for result in results)
        return text.join(self.around_results), False

    @hookimpl
    def read_calls(self, text: str) -> list[Call]:
        return [call for call in self.calls_in(text) if call is not None]

    def listed(self, tools: list[Tool]) -> str:
        """The tools as JSON, one a line."""
        return "\n".join(write_json(tool) for tool in tools)

    def json(self, value: Any) -> str:
        """A value as JSON without the marks that end a call."""
        return escaped(write_json(value), *self.ends)

    def written(self, number: int, call: Call) -> str:
        """One call."""
        raise NotImplementedError

    def call_of(self, match: re.Match[str], value: Any) -> Call | None:
        """A call from what stands before its JSON and the JSON value."""
        return as_call(read_name(match["name"]), value)

    def calls_in(self, text: str) -> Iterator[Call | None]:
        """The whole calls of a text, in order; a torn one holds none."""
        place = 0
        while match := self.opening.search(text, place):
            value = read_json(text, match.end())
            place = value[1] if value else match.end() + 1  # some marks are empty: never look twice at one place
            if value and self.closing.match(text, place):
                yield self.call_of(match, value[0])


# -- one object for name and arguments ------------------------------------------------------------------------
class Object(JsonCalls):
    """A call is one JSON object; `key` holds its arguments."""

    key: ClassVar[str] = "arguments"
    frame: ClassVar[tuple[str, str]] = ("<tool_call>", "</tool_call>")
    opening = re.compile(r"<tool_call>\s*(?=\{)")
    closing = re.compile(r"\s*(</tool_call>|\Z)")
    ends: ClassVar[tuple[str, ...]] = ("</tool_call>", "<tool_call>")

    def written(self, number: int, call: Call) -> str:
        return self.json({"name": call["name"], self.key: call["arguments"]}).join(self.frame)

    def call_of(self, match: re.Match[str], value: Any) -> Call | None:
        return as_call(value.get("name"), value.get(self.key))


class HunyuanHermes(Object):
    """Hunyuan: JSON objects in <tool_call> tags, all of a turn inside <tool_calls>."""

    frame = "<tool_call>\n", "\n</tool_call>"
    around = "<tool_calls>\n", "\n</tool_calls>"
    introduction = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For function call returns, you should first print <tool_calls>For each function call, you should return object like:
<tool_call>function_name
```json
function_arguments_in_json_format
```</tool_call>At the end of function call returns, you should print </tool_calls>"""
    result = "<tool_response>", "</tool_response>"
    between_results = "\n"
    around_results = "<tool_responses>", "</tool_responses>"


class Youtu(Object):
    """Youtu: JSON objects in <tool_call> tags, one behind the other."""

    joint = ""
    before_calls = ""
    introduction = """<|begin_of_tool_description|>Tool calling capabilities.
You may call one or more functions to assist with the user query. You have the following functions available:
{tools}
For tool call returns, you MUST use the following format:
<tool_call>{"name": "function-name", "arguments": {"param1": "value1", "param2": "value2"}}</tool_call>
<|end_of_tool_description|>"""
    result = "<tool_response>", "</tool_response>"
    between_results = "\n"

    def listed(self, tools: list[Tool]) -> str:
        return "\n".join(f"```json\n{write_json(tool)}\n```" for tool in tools)


class Llama3(Object):
    """Llama 3: a bare JSON object with `parameters`; a turn of its own for each result, written as JSON."""

    key = "parameters"
    frame = "", ""
    opening = re.compile(r"(?:^|(?<=\n)|(?<=<\|python_tag\|>))(?=\{)")
    closing = re.compile("")
    ends = ()
    between_results = "<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        """The schemas stand before the system text, in the system turn."""
        text = (
            "You have access to the following functions. To call a function, please respond with JSON for a function "
            'call.Respond in the format {"name": function name, "parameters": dictionary of argument name and its '
            "value}.Do not use variables.\n\n"
        )
        return text + "".join(json.dumps(t, indent=4, ensure_ascii=False) + "\n\n" for t in tools) + system

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        return self.between_results.join(write_json(result) for result in results), False

    def call_of(self, match: re.Match[str], value: Any) -> Call | None:
        return as_call(value.get("name"), value.get("parameters", value.get("arguments")))


class Llama4(Llama3):
    """Llama 4: as Llama 3, in the marks of its turns."""

    between_results = "<|eot|><|header_start|>ipython<|header_end|>\n\n"


# -- a name, then the arguments ---------------------------------------------------------------------------------
class DeepseekV31(JsonCalls):
    """DeepSeek V3.1: name and JSON between special tokens; results follow the closed turn, the answer follows them."""

    opening = re.compile(rf"<｜tool▁call▁begin｜>\s*{NAME}\s*<｜tool▁sep｜>\s*(?=\{{)")
    closing = re.compile(r"\s*(<｜tool▁call▁end｜>|\Z)")
    ends = ("<｜tool▁call",)
    joint = ""
    around = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>"
    before_calls = ""
    introduction = """## Tools
You have access to the following tools:

{tools}

IMPORTANT: ALWAYS adhere to this exact format for tool use:
<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>\
{additional_tool_calls}<｜tool▁calls▁end｜>

Where:
- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces"""
    result = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        return "".join(result.join(self.result) for result in results), True

    def listed(self, tools: list[Tool]) -> str:
        described = [(t["function"], t["function"].get("parameters", {})) for t in tools]
        return "\n\n".join(
            f"### {f['name']}\nDescription: {f.get('description', '')}\n\nParameters: {write_json(p)}"
            for f, p in described
        )

    def written(self, number: int, call: Call) -> str:
        name = write_name(call["name"])
        return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{self.json(call['arguments'])}<｜tool▁call▁end｜>"


class KimiK25(JsonCalls):
    """Kimi K2.5: numbered names and JSON between special tokens; tools as TypeScript in a turn before the system's."""

    opening = re.compile(
        rf"<\|tool_call_begin\|>\s*functions\.{NAME.replace('+', '+?')}:\d+\s*<\|tool_call_argument_begin\|>\s*(?=\{{)"
    )
    closing = re.compile(r"\s*(<\|tool_call_end\|>|\Z)")
    ends = ("<|tool_call",)
    joint = ""
    around = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
    before_calls = ""
    between_results = "<|im_end|><|im_system|>tool<|im_middle|>"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        """Two turns: the tools, and the system text if there is one. The template writes what is around them."""
        types = "\n".join(_typescript(tool["function"]) for tool in tools)
        text = f"tool_declare<|im_middle|># Tools\n\n## functions\nnamespace functions {{\n{types}\n}}\n"
        return text + (f"<|im_end|><|im_system|>system<|im_middle|>{system}" if system else "")

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        names = [write_name(call["name"]) for call in calls] + ["unknown"] * len(results)
        written = [f"## Return of functions.{names[n]}:{n}\n{result}" for n, result in enumerate(results)]
        return self.between_results.join(written), False

    def written(self, number: int, call: Call) -> str:
        opened = f"<|tool_call_begin|>functions.{write_name(call['name'])}:{number}<|tool_call_argument_begin|>"
        return f"{opened}{self.json(call['arguments'])}<|tool_call_end|>"


TYPES = {"integer": "number", "array": "any[]", "object": "object"}


def _typescript(function: Tool) -> str:
    """A function as a TypeScript type, required parameters first."""
    schema = function.get("parameters") or {}
    required = schema.get("required", ())
    lines = [f"// {function['description']}"] if function.get("description") else []
    lines.append(f"type {function['name']} = (_: {{")
    for name, facts in sorted(schema.get("properties", {}).items(), key=lambda p: p[0] not in required):
        lines += [f"  // {facts['description']}"] if facts.get("description") else []
        kind = str(facts.get("type", "any"))
        lines.append(f"  {name}: {TYPES.get(kind, kind)},")
    if schema.get("properties"):
        lines[-1] = lines[-1].rstrip(",")
    return "\n".join([*lines, "}) => any;"])


class Mistral(JsonCalls):
    """Mistral (tokenizer version 13): [TOOL_CALLS]name[ARGS]{…}; a [TOOL_RESULTS] for each result."""

    opening = re.compile(rf"\[TOOL_CALLS\]\s*{NAME}\s*\[ARGS\]\s*(?=\{{)")
    ends = "[TOOL_CALLS]", "[ARGS]"
    joint = ""
    before_calls = ""
    result = "[TOOL_RESULTS]", "[/TOOL_RESULTS]"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        """The system turn, if there is one, and the tools behind it."""
        text = f"[AVAILABLE_TOOLS]{write_json(tools)}[/AVAILABLE_TOOLS]"
        return f"[SYSTEM_PROMPT]{system}[/SYSTEM_PROMPT]{text}" if system else text

    def written(self, number: int, call: Call) -> str:
        return f"[TOOL_CALLS]{write_name(call['name'])}[ARGS]{self.json(call['arguments'])}"


class Glm4(JsonCalls):
    """GLM-4: the name on a line, JSON on the next, each call in an assistant's turn of its own."""

    opening = re.compile(rf"(?:^|(?<=\n)|(?<=<\|assistant\|>)){NAME}[ \t]*\n(?=\{{)")
    joint = "<|assistant|>"
    before_calls = "<|assistant|>"
    beside = True
    greeting: ClassVar[str] = ""
    introduction = "# 可用工具{tools}"
    between_results = "<|observation|>\n"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        text = self.greeting + self.introduction.replace("{tools}", self.listed(tools))
        return f"{system}\n\n{text}" if system else text

    def listed(self, tools: list[Tool]) -> str:
        functions = [tool["function"] for tool in tools]
        asked = "在调用上述函数时，请使用 Json 格式表示调用的参数。"
        return "".join(
            f"\n\n## {f['name']}\n\n{json.dumps(f, indent=4, ensure_ascii=False)}\n{asked}" for f in functions
        )

    def written(self, number: int, call: Call) -> str:
        return f"{write_name(call['name'])}\n{self.json(call['arguments'])}"


class Chatglm4(Glm4):
    """ChatGLM 4: as GLM-4, with the model's name before the tools."""

    greeting = (
        "你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，"
        "你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n"
    )


# -- harmony ------------------------------------------------------------------------------------------------------
class GptOss(JsonCalls):
    """gpt-oss (harmony): calls to the tool on the commentary channel; tools as TypeScript for the developer."""

    opening = re.compile(
        rf"to=functions\.{NAME}\s*<\|channel\|>commentary(?:\s*(?:<\|constrain\|>)?json)?<\|message\|>\s*(?=\{{)"
    )
    ends = ("<|",)
    beside = True
    joint = "<|call|><|start|>assistant"
    before_calls = "<|end|><|start|>assistant"
    around = "", "<|call|>"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        """What the developer says: the user's own instructions, then the tools."""
        text = "# Tools\n\n## functions\n\nnamespace functions {\n\n"
        text += "".join(_harmony(tool["function"]) for tool in tools) + "} // namespace functions"
        return f"# Instructions\n\n{system}\n\n{text}" if system else text

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        names = [write_name(call["name"]) for call in calls] + ["unknown"] * len(results)
        written = [
            f"functions.{names[n]} to=assistant<|channel|>commentary<|message|>{write_json(result)}"
            for n, result in enumerate(results)
        ]
        return "<|end|><|start|>".join(written), False

    def written(self, number: int, call: Call) -> str:
        name, arguments = write_name(call["name"]), self.json(call["arguments"])
        return f" to=functions.{name}<|channel|>commentary json<|message|>{arguments}"


def _harmony(function: Tool) -> str:
    """A function as harmony's TypeScript; nested schemas by their outermost type."""
    schema = function.get("parameters") or {}
    lines = [f"// {function.get('description', '')}\ntype {function['name']} = "]
    if not schema.get("properties"):
        return lines[0] + "() => any;\n\n"
    lines.append("(_: {\n")
    for name, facts in schema["properties"].items():
        lines += [f"// {facts['description']}\n"] if facts.get("description") else []
        default = f", // default: {write_json(facts['default'])}" if "default" in facts else ""
        optional = "" if name in schema.get("required", ()) else "?"
        lines.append(f"{name}{optional}: {_harmony_type(facts)}{default or ','}\n")
    return "".join(lines) + "}) => any;\n\n"


def _harmony_type(facts: dict[str, Any]) -> str:
    kind = str(facts.get("type", "any"))
    if kind == "array":
        inner = str((facts.get("items") or {}).get("type", "any"))
        return {k: f"{TYPES.get(k, k)}[]" for k in ("string", "number", "integer", "boolean")}.get(inner, "any[]")
    if facts.get("enum"):
        return " | ".join(write_json(v) for v in facts["enum"])
    return TYPES.get(kind, kind)
