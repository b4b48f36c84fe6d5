"""Elements with attributes: MiniMax M2, DeepSeek V4, MiniCPM 5."""

from __future__ import annotations

import re
from typing import Any

from swift_core.data.calls import escaped, read_name, read_value, write_json, write_name, write_value
from swift_plugin_tagged_calls.base import Marks, Tagged, Tool, pattern


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
        arguments: dict[str, Any] = {}
        key = re.compile(pattern(self.marks.key).pattern.replace(re.escape("{kind}"), "(true|false)"))
        end, close = self.marks.value_end.strip(), pattern(self.marks.close)
        while match := key.match(text, place):
            behind = text.find(end, match.end())
            if behind < 0:
                return None, match.end()
            value = text[match.end() : behind]
            arguments[read_name(match[1])] = value if match[2] == "true" else read_value(value)
            place = behind + len(end)
        closed = close.match(text, place)
        return (arguments, closed.end()) if closed else (None, place)


class DeepseekV41(DeepseekV4):
    """DeepSeek V4.1: as V4, with a space behind ｜DSML｜, and `calls` for `tool_calls`."""

    marks = Marks(
        *(m.replace("DSML｜tool_", "DSML｜").replace("DSML｜", "DSML｜ ") for m in vars(DeepseekV4.marks).values())
    )
    introduction = DSML.replace("DSML｜tool_", "DSML｜").replace("DSML｜", "DSML｜ ")


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
