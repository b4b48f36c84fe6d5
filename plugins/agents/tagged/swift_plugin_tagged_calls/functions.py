"""<function=…> with a <parameter=…> for each argument: Qwen 3 Coder and 3.5, Nemotron 3, Seed-OSS."""

from __future__ import annotations

from typing import Any

from swift_core.data.calls import write_json
from swift_plugin_tagged_calls.base import Marks, Tagged, Tool

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
