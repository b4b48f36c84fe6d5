"""A tag for each key and each value: GLM 4.5 to 5, Ling 3, Spark 2.5, Xing 4.0, Hy3."""

from __future__ import annotations

import re

from swift_core import hookimpl
from swift_plugin_tagged_calls.base import Marks, Tagged, Tool

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
