"""Tool calls as tags: the name, then every argument in tags of its own, as many families write them.

A text stands between its tags as it is, everything else as JSON. So that reading gives back exactly what was
written, a text that reads like JSON (`2`, `true`, `{}`) or that holds the closing tag is written as a JSON
string; where a format says of an argument whether it is text, that decides. Names that are no plain words are
escaped as inside a JSON string.

Each class is a format: its marks, how tools are introduced and how results are framed. Facts: the chat templates
of the checkpoints, and ms-swift 4.6.0.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from swift_core import hookimpl
from swift_core.data.calls import as_call, escaped, read_name, read_value, write_json, write_name, write_value

Call = dict[str, Any]
Tool = dict[str, Any]

NAME = r"([^<>\n\"=|{}]+)"
"""A written name as a regular expression."""


@dataclass(frozen=True)
class Marks:
    """The texts around calls. A call is `open`, its arguments, `close`; an argument `key`, its value, `value_end`.

    open holds `{name}` and key `{key}`. begin, end: around all calls of a turn. joint: between two calls.
    """

    open: str
    key: str
    value_end: str
    close: str
    begin: str = ""
    end: str = ""
    joint: str = "\n"


@dataclass(kw_only=True, eq=False)
class Tagged:
    """What all formats with tags share."""

    swift_api = 1
    marks: ClassVar[Marks]
    introduction: ClassVar[str] = ""
    bare: ClassVar[bool] = False
    system_last: ClassVar[str | None] = None
    result: ClassVar[tuple[str, str]] = ("<tool_response>\n", "\n</tool_response>")
    between_results: ClassVar[str] = "\n"
    around_results: ClassVar[tuple[str, str]] = ("", "")
    before_calls: ClassVar[str] = "\n"

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        text = self.introduction.replace("{tools}", self.listed(tools))
        if self.system_last is not None:
            return text + (self.system_last + system if system else "")
        return f"{system}\n\n{text}" if system else text

    @hookimpl
    def write_calls(self, calls: list[Call]) -> str:
        written = [
            self.marks.open.replace("{name}", write_name(call["name"]))
            + "".join(self.argument(key, value) for key, value in call["arguments"].items())
            + self.marks.close
            for call in calls
        ]
        return self.marks.begin + self.marks.joint.join(written) + self.marks.end

    @hookimpl
    def write_results(self, results: list[str]) -> tuple[str, bool]:
        text = self.between_results.join(result.join(self.result) for result in results)
        return text.join(self.around_results), False

    @hookimpl
    def read_calls(self, text: str) -> list[Call]:
        return [call for call in self.found(text) if call is not None]

    def listed(self, tools: list[Tool]) -> str:
        """The tools as JSON, one a line; bare: the function without what is around it."""
        return "\n".join(write_json(tool["function"] if self.bare else tool) for tool in tools)

    def argument(self, key: str, value: Any) -> str:
        """One argument with its tags."""
        written = write_value(value, self.marks.value_end.strip(), self.marks.close.strip())
        return self.marks.key.replace("{key}", write_name(key)) + written + self.marks.value_end

    def value(self, match: re.Match[str], text: str) -> Any:
        """An argument's value, from the match of its `key` and the text up to its end."""
        return read_value(text)

    def found(self, text: str) -> Iterator[Call | None]:
        """The whole calls of a text, in order; a torn one holds none."""
        opening, place = pattern(self.marks.open), 0
        while match := opening.search(text, place):
            arguments, place = self.arguments(text, match.end())
            if arguments is not None:
                yield as_call(read_name(match[1].strip()), arguments)

    def arguments(self, text: str, place: int) -> tuple[dict[str, Any] | None, int]:
        """The arguments from `place` on and the place behind the call; None where the call is torn."""
        found: dict[str, Any] = {}
        key, end, close = pattern(self.marks.key), self.marks.value_end.strip(), pattern(self.marks.close)
        while match := key.match(text, place):
            behind = text.find(end, match.end())
            if behind < 0:
                return None, match.end()
            value = text[match.end() : behind]
            trimmed = value[:-1] if self.marks.value_end[0] == "\n" and value[-1:] == "\n" else value
            found[read_name(match[1])] = self.value(match, trimmed)
            place = behind + len(end)
        closed = close.match(text, place)
        return (found, closed.end()) if closed else (None, place)


@functools.cache
def pattern(mark: str) -> re.Pattern[str]:
    """A mark as a regular expression: white space may be any, save one line break before a value; names are groups."""
    found = r"\s*"
    for piece in re.findall(r"\s+|\{name\}|\{key\}|[^\s{]+|\{", mark.strip()):
        found += NAME if piece in ("{name}", "{key}") else r"\s*" if piece.isspace() else re.escape(piece)
    tail = r"\n?" if mark.endswith("\n") and "{key}" in mark else ""
    return re.compile(found + tail)


# -- Qwen 3 Coder and 3.5 -----------------------------------------------------------------------------------
FUNCTIONS = """# Tools

You have access to the following functions:

<tools>
{tools}
</tools>

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within \
<tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell \
the user about function calls
</IMPORTANT>"""
FUNCTION = "<tool_call>\n<function={name}>\n", "<parameter={key}>\n", "\n</parameter>\n", "</function>\n</tool_call>"


class Qwen35(Tagged):
    """Qwen 3.5: <function=…> and <parameter=…> inside <tool_call>; tools as JSON before the system text."""

    marks = Marks(*FUNCTION)
    introduction = FUNCTIONS
    system_last = "\n\n"
    before_calls = "\n\n"


class Qwen3Coder(Tagged):
    """Qwen 3 Coder: calls as in Qwen 3.5; tools as tags behind the system text."""

    marks = Marks(*FUNCTION)
    introduction = FUNCTIONS
    around_results = "", "\n"

    def listed(self, tools: list[Tool]) -> str:
        return "\n".join(_as_tags(tool["function"]) for tool in tools)


class Nemotron(Qwen3Coder):
    """Nemotron 3: as Qwen 3 Coder, with a line break before the first call and behind the last."""

    marks = Marks(*FUNCTION, begin="\n", end="\n")
    before_calls = ""


def _as_tags(function: Tool) -> str:
    schema = function.get("parameters") or {}
    lines = ["<function>", f"<name>{function['name']}</name>"]
    lines += [f"<description>{function['description'].strip()}</description>"] if "description" in function else []
    lines.append("<parameters>")
    for name, facts in schema.get("properties", {}).items():
        known = {k: facts[k] for k in ("type", "description", "enum") if k in facts}
        lines += ["<parameter>", f"<name>{name}</name>", *_tags(known | facts, ()), "</parameter>"]
    lines += _tags(schema, ("type", "properties", "required"))
    lines += [f"<required>{write_json(schema['required'])}</required>"] if "required" in schema else []
    return "\n".join([*lines, "</parameters>", *_tags(function, ("name", "description", "parameters")), "</function>"])


def _tags(facts: dict[str, Any], without: tuple[str, ...]) -> list[str]:
    written = {k: write_json(v) if isinstance(v, dict | list) else str(v).strip() for k, v in facts.items()}
    return [f"<{k}>{v}</{k}>" for k, v in written.items() if k not in without]


class SeedOss(Tagged):
    """Seed-OSS: calls as in Qwen 3 Coder under tags of its own; tools as Python signatures in a system turn before."""

    marks = Marks(
        "<seed:tool_call>\n<function={name}>\n",
        "<parameter={key}>",
        "</parameter>\n",
        "</function>\n</seed:tool_call>",
    )
    introduction = """You are Doubao, a helpful AI assistant. You may call one or more functions to assist with the \
user query.

Function:
{tools}
工具调用请遵循如下格式:
<seed:tool_call>
<function=example_function_name>
<parameter=example_parameter_1>value_1</parameter>
<parameter=example_parameter_2>This is the value for the second parameter
that can span
multiple lines</parameter>
</function>
</seed:tool_call>
"""
    system_last = "<seed:eos><seed:bos>system\n"
    result = "", ""
    between_results = "<seed:eos><seed:bos>tool\n"

    def listed(self, tools: list[Tool]) -> str:
        return "\n".join(_signature(tool["function"]) for tool in tools)


PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}


def _signature(function: Tool) -> str:
    """A function as Python with its documentation, as Seed-OSS was taught to read it."""
    schema = function.get("parameters") or {}
    types = {n: PYTHON.get(str(p.get("type")), "Any") for n, p in schema.get("properties", {}).items()}
    words = {n: "必填" if n in schema.get("required", ()) else "选填" for n in types}
    arguments = "\n".join(
        f"    - {n} ({t}) [{words[n]}]: {schema['properties'][n].get('description', '')}" for n, t in types.items()
    )
    head = f"def {function['name']}({','.join(f'{n}: {t}' for n, t in types.items())}):"
    return f'{head}\n    """\n    {function.get("description", "")}\n\n    Args:\n{arguments}\n\n    """'


# -- keys and values in tags of their own ---------------------------------------------------------------------
SIGNATURES = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

"""
IN_LINES = """<tool_call>{function-name}
<arg_key>{arg-key-1}</arg_key>
<arg_value>{arg-value-1}</arg_value>
<arg_key>{arg-key-2}</arg_key>
<arg_value>{arg-value-2}</arg_value>
...
</tool_call>"""
ASKED = "For each function call, output the function name and arguments within the following XML format:\n"


class Glm45(Tagged):
    """GLM-4.5: <arg_key> and <arg_value> on lines of their own."""

    marks = Marks("<tool_call>{name}\n", "<arg_key>{key}</arg_key>\n<arg_value>", "</arg_value>\n", "</tool_call>")
    introduction = SIGNATURES + ASKED + IN_LINES
    system_last = "<|system|>\n"


class Glm47(Tagged):
    """GLM-4.7: as GLM-4.5, without line breaks."""

    marks = Marks("<tool_call>{name}", "<arg_key>{key}</arg_key><arg_value>", "</arg_value>", "</tool_call>", joint="")
    introduction = SIGNATURES + ASKED + IN_LINES.replace("\n", "")
    system_last = "<|system|>\n"
    result = "<tool_response>", "</tool_response>"
    between_results = ""
    before_calls = ""


class Glm51(Glm47):
    """GLM-5.1 and later: as GLM-4.7, with the functions alone as schemas."""

    bare = True


class Ling3(Tagged):
    """Ling 3: <arg_key> and <arg_value>, a line for each value."""

    marks = Marks("<tool_call>{name}", "<arg_key>{key}</arg_key>\n<arg_value>", "</arg_value>", "\n</tool_call>")
    introduction = (
        SIGNATURES
        + "If none of the functions can be used, point it out. If the given question lacks the parameters required by "
        + "the function, also point it out.\nIf you need to use a function, for each function call, output the "
        + "function name and arguments within the following XML format:\n"
        + IN_LINES
        + "\n"
    )
    around_results = "\n", ""

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        text = self.introduction.replace("{tools}", self.listed(tools))
        return f"{system}\n{text}" if system else text


class Spark25(Tagged):
    """Spark 2.5: <arg_key> and <arg_value> without line breaks; schemas before the system text."""

    marks = Glm47.marks
    bare = True
    introduction = "## Tools\nYou have access to the following functions:\n<tools>\n{tools}\n</tools>\n\n"
    system_last = ""
    result = "<tool_response>", "</tool_response>"
    between_results = ""
    before_calls = ""


class Xing40(Tagged):
    """Xing 4.0: <param_key> and <param_value> without line breaks."""

    marks = Marks(
        "<tool_call>{name}", "<param_key>{key}</param_key><param_value>", "</param_value>", "</tool_call>", joint=""
    )
    introduction = (
        SIGNATURES
        + ASKED
        + "<tool_call>{function-name}<param_key>{param-key-1}</param_key><param_value>{param-value-1}</param_value>"
        + "<param_key>{param-key-2}</param_key><param_value>{param-value-2}</param_value>...</tool_call>"
    )
    result = "<tool_response>", "</tool_response>"
    between_results = ""
    before_calls = ""

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        text = self.introduction.replace("{tools}", self.listed(tools))
        return f"{system}\n{text}" if system else text


class HyV3Preview(Tagged):
    """Hy3 preview: all calls inside <tool_calls>, a separator behind each name."""

    marks = Marks(
        "<tool_call>{name}<tool_sep>\n",
        "<arg_key>{key}</arg_key>\n<arg_value>",
        "</arg_value>\n",
        "</tool_call>",
        "<tool_calls>\n",
        "\n</tool_calls>",
    )
    introduction = (
        SIGNATURES
        + "For function call returns, you should first print <tool_calls>\n"
        + "For each function call, you should return object like:\n"
        + IN_LINES.replace("{function-name}", "{function-name}<tool_sep>")
        + "\nAt the end of function call returns, you should print </tool_calls>"
    )
    around_results = "<tool_responses>\n", "\n</tool_responses>"


def _of_release(text: str) -> str:
    """A text of the preview with the tags of the release, which all end in `:opensource`."""
    return re.sub(r"(</?(?:tool_\w+|arg_\w+))>", r"\1:opensource>", text)


class HyV3(HyV3Preview):
    """Hy3: as its preview, every tag ending in `:opensource`."""

    marks = Marks(*map(_of_release, (m for m in vars(HyV3Preview.marks).values())))
    introduction = SIGNATURES + _of_release(HyV3Preview.introduction.removeprefix(SIGNATURES))
    result = "<tool_response:opensource>\n", "\n</tool_response:opensource>"
    around_results = "<tool_responses:opensource>\n", "\n</tool_responses:opensource>"


# -- attributes ---------------------------------------------------------------------------------------------
class MinimaxM2(Tagged):
    """MiniMax M2: <invoke name="…"> with <parameter name="…">, all calls inside <minimax:tool_call>."""

    marks = Marks(
        '<invoke name="{name}">\n',
        '<parameter name="{key}">',
        "</parameter>\n",
        "</invoke>",
        "<minimax:tool_call>\n",
        "\n</minimax:tool_call>",
    )
    introduction = """# Tools
You may call one or more tools to assist with the user query.
Here are the tools available in JSONSchema format:

<tools>
{tools}
</tools>

When making tool calls, use XML format to invoke tools and pass parameters:

<minimax:tool_call>
<invoke name="tool-name-1">
<parameter name="param-key-1">param-value-1</parameter>
<parameter name="param-key-2">param-value-2</parameter>
...
</invoke>
</minimax:tool_call>"""
    result = "<response>", "</response>"

    def listed(self, tools: list[Tool]) -> str:
        return "\n".join(f"<tool>{write_json(tool['function'])}</tool>" for tool in tools)


DSML = """## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a \
"<｜DSML｜tool_calls>" block like the following:

<｜DSML｜tool_calls>
<｜DSML｜invoke name="$TOOL_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$TOOL_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜tool_calls>

String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, \
objects), pass the value in JSON format and set `string="false"`.

If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside <think>...</think> \
BEFORE any tool calls or final response.

Otherwise, output directly after </think> with tool calls or final response.

### Available Tool Schemas

{tools}

You MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.
"""


class DeepseekV4(Tagged):
    """DeepSeek V4: <｜DSML｜invoke> with <｜DSML｜parameter>, which says whether a value is text."""

    marks = Marks(
        '<｜DSML｜invoke name="{name}">\n',
        '<｜DSML｜parameter name="{key}" string="{kind}">',
        "</｜DSML｜parameter>\n",
        "</｜DSML｜invoke>",
        "<｜DSML｜tool_calls>\n",
        "\n</｜DSML｜tool_calls>",
    )
    introduction = DSML
    bare = True
    result = "<tool_result>", "</tool_result>"
    between_results = "\n\n"
    before_calls = "\n\n"

    def argument(self, key: str, value: Any) -> str:
        """A text stands as it is, unless it holds the closing tag; then it is JSON like all the rest."""
        end = self.marks.value_end.strip()
        text = isinstance(value, str) and end not in value
        opened = self.marks.key.replace("{key}", write_name(key)).replace("{kind}", "true" if text else "false")
        return opened + (value if text else escaped(write_json(value), end)) + self.marks.value_end

    def arguments(self, text: str, place: int) -> tuple[dict[str, Any] | None, int]:
        """As in every format, with the kind of each value read from its tag."""
        found: dict[str, Any] = {}
        key = re.compile(pattern(self.marks.key).pattern.replace(re.escape("{kind}"), "(true|false)"))
        end, close = self.marks.value_end.strip(), pattern(self.marks.close)
        while match := key.match(text, place):
            behind = text.find(end, match.end())
            if behind < 0:
                return None, match.end()
            value = text[match.end() : behind]
            found[read_name(match[1])] = value if match[2] == "true" else read_value(value)
            place = behind + len(end)
        closed = close.match(text, place)
        return (found, closed.end()) if closed else (None, place)


class DeepseekV41(DeepseekV4):
    """DeepSeek V4.1: as V4, with a space behind ｜DSML｜, and `calls` for `tool_calls`."""

    marks = Marks(
        *(m.replace("DSML｜tool_", "DSML｜").replace("DSML｜", "DSML｜ ") for m in vars(DeepseekV4.marks).values())
    )
    introduction = DSML.replace("DSML｜tool_", "DSML｜").replace("DSML｜", "DSML｜ ")


# -- MiniCPM 5 ------------------------------------------------------------------------------------------------
class Minicpm5(Tagged):
    """MiniCPM 5: <function name="…"> with <param name="…">, texts with <, & or line breaks as CDATA."""

    marks = Marks('<function name="{name}">', '<param name="{key}">', "</param>", "</function>")
    introduction = """# Tools

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

Tool usage guidelines:
- You may call zero or more functions. If no function calls are needed, just answer normally and do not include any \
<function ... </function>.
- When calling a function, return an XML object within <function ... </function> using:
<function name="function-name"><param name="param-name">param-value</param></function>
- param-value may be multi-line. If it contains <, & or newline characters, wrap it in a CDATA block: \
<param name="param-name"><![CDATA[...multi-line value...]]></param>"""

    def argument(self, key: str, value: Any) -> str:
        """A text as it is, as CDATA, or, where it reads like JSON or holds an end, as JSON."""
        opened = self.marks.key.replace("{key}", write_name(key))
        marked = isinstance(value, str) and any(c in value for c in "<&\n")
        if marked and not any(end in value for end in ("]]>", "</param>")):
            return f"{opened}<![CDATA[{value}]]></param>"
        return opened + write_value(value, "<", "&", "\n") + "</param>"

    def value(self, match: re.Match[str], text: str) -> Any:
        if text.startswith("<![CDATA[") and text.endswith("]]>"):
            return text[9:-3]
        return read_value(text)


# -- nested tags ------------------------------------------------------------------------------------------------
SIGN = "]<]minimax[>["
OPENED = re.compile(re.escape(SIGN) + r"<([^<>]+)>")


class MinimaxM3(Tagged):
    """MiniMax M3: every argument is a tag of its own behind a sign, objects and lists are tags inside tags."""

    marks = Marks(
        SIGN + '<invoke name="{name}">',
        SIGN + "<{key}>",
        SIGN + "</{key}>",
        SIGN + "</invoke>\n",
        SIGN + "<tool_call>\n",
        SIGN + "</tool_call>",
        joint="",
    )
    introduction = (
        MinimaxM2.introduction.partition("When making")[0]
        + "To call tools, wrap all invocations in a single ~<tool_call>~</tool_call> block. Parameter values "
        + "containing nested objects or arrays are recursively expanded into XML elements. Example:\n\n"
        + '~<tool_call>\n~<invoke name="tool-name-1">~<param-1>value-1~</param-1>~<param-2>~<item>~<key-a>val-a'
        + "~</key-a>~<key-b>val-b~</key-b>~</item>~</param-2>~</invoke>\n"
        + '~<invoke name="tool-name-2">~<param-1>value-1~</param-1>~</invoke>\n~</tool_call>'
    ).replace("~", SIGN)
    result = "<response>", "</response>"
    listed = MinimaxM2.listed

    def argument(self, key: str, value: Any) -> str:
        name = write_name(key)
        return f"{SIGN}<{name}>{self.nested(value)}{SIGN}</{name}>"

    def nested(self, value: Any) -> str:
        """A value: tags for an object or a list that has any, else as between other tags."""
        if isinstance(value, dict) and value and set(value) != {"item"}:
            return "".join(self.argument(str(k), v) for k, v in value.items())
        if isinstance(value, list) and value:
            return "".join(self.argument("item", v) for v in value)
        return write_value(value, SIGN)

    def arguments(self, text: str, place: int) -> tuple[dict[str, Any] | None, int]:
        found, place = self.elements(text, place)
        closed = pattern(self.marks.close).match(text, place)
        return (dict(found), closed.end()) if closed and found is not None else (None, place)

    def elements(self, text: str, place: int) -> tuple[list[tuple[str, Any]] | None, int]:
        """(name, value) of the tags from `place` on, and the place behind them; None where one is torn."""
        found = []
        while match := OPENED.match(text, place):
            if match[1].startswith("/"):
                break
            value, place = self.element(text, match.end())
            end = f"{SIGN}</{match[1]}>"
            if not text.startswith(end, place):
                return None, place
            found.append((read_name(match[1]), value))
            place += len(end)
        return found, place

    def element(self, text: str, place: int) -> tuple[Any, int]:
        """The value that begins at `place`, and the place behind it."""
        if not OPENED.match(text, place) or text.startswith(SIGN + "</", place):
            behind = text.find(SIGN, place)
            behind = len(text) if behind < 0 else behind
            return read_value(text[place:behind]), behind
        inside, place = self.elements(text, place)
        if inside and all(name == "item" for name, _ in inside):
            return [value for _, value in inside], place
        return dict(inside or []), place


# -- Kimi K3 ------------------------------------------------------------------------------------------------------
KINDS = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object", list: "array"}


K3_CALL = re.compile(rf'<\|open\|>call tool="{NAME}" index="\d+"<\|sep\|>(.*?)<\|close\|>call<\|sep\|>', re.DOTALL)
K3_ARGUMENT = re.compile(
    r'<\|open\|>argument key="([^"]*)" type="(\w+)"<\|sep\|>(.*?)<\|close\|>argument<\|sep\|>', re.DOTALL
)


class KimiK3(Tagged):
    """Kimi K3: calls and arguments as <|open|>…<|close|> elements that name the type of each value."""

    beside = True
    before_calls = ""

    @hookimpl
    def write_tools(self, tools: list[Tool], system: str) -> str:
        """Two messages: the tools, and the system text if there is one. The template writes what is around them."""
        listed = json.dumps(tools, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        text = (
            'role="system" type="tool-declare"<|sep|># Tools\nHere are the available tools, described in JSONSchema.'
            f"\n\n```json\n{listed}\n```"
        )
        follows = '<|close|>message<|sep|><|end_of_msg|><|open|>message role="system"<|sep|>'
        return text + (follows + system if system else "")

    @hookimpl
    def write_calls(self, calls: list[Call]) -> str:
        written = ""
        for number, call in enumerate(calls, 1):
            inside = "".join(self.argument(k, v) for k, v in call["arguments"].items())
            opened = f'<|open|>call tool="{write_name(call["name"])}" index="{number}"<|sep|>'
            written += f"{opened}{inside}<|close|>call<|sep|>"
        return f"<|open|>tools<|sep|>{written}<|close|>tools<|sep|>"

    @hookimpl
    def write_results(self, results: list[str], calls: list[Call]) -> tuple[str, bool]:
        names = [write_name(call["name"]) for call in calls]
        written = [
            f'tool="{name}" index="{number}"<|sep|>{result}'
            for number, (name, result) in enumerate(
                zip([*names, *["unknown"] * len(results)], results, strict=False), 1
            )
        ]
        return '<|close|>message<|sep|><|end_of_msg|><|open|>message role="tool" '.join(written), False

    def argument(self, key: str, value: Any) -> str:
        """The type `json` is ours, for texts that hold an end."""
        kind = "null" if value is None else KINDS.get(type(value), "json")
        kind = "json" if kind == "string" and "<|close|>" in value else kind
        written = value if kind == "string" else escaped(write_json(value), "<|close|>")
        return f'<|open|>argument key="{write_name(key)}" type="{kind}"<|sep|>{written}<|close|>argument<|sep|>'

    def found(self, text: str) -> Iterator[Call | None]:
        """The whole calls of a text, in order."""
        for match in K3_CALL.finditer(text):
            inside = K3_ARGUMENT.findall(match[2])
            named = {read_name(k): v if kind == "string" else read_value(v) for k, kind, v in inside}
            yield as_call(read_name(match[1]), named)
