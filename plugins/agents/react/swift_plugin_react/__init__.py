"""Tool calls as lines with keywords: ReAct (Yao et al., arXiv 2210.03629), ToolBench and Qwen's own.

A call is a line with a name and a line with JSON; behind the calls stands the keyword that opens the results,
and they go on inside the assistant's turn. Each class is a format: its keywords and how tools are introduced.
Facts: ms-swift 4.6.0.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from swift_core import hookimpl
from swift_core.contract.components import Agent
from swift_core.data.calls import as_call, read_json, write_json


@dataclass(kw_only=True, eq=False)
class React(Agent):
    """Thought, Action, Action Input (JSON) and Observation; results go on inside the assistant's turn."""

    swift_api = 1
    keywords: ClassVar[tuple[str, str, str]] = ("Action:", "Action Input:", "Observation:")
    tool: ClassVar[str] = (
        "{name}: Call this tool to interact with the {name} API. What is the {name} API useful for? {about} "
        "Parameters: {schema} Format the arguments as a JSON object."
    )
    introduction: ClassVar[
        str
    ] = """Answer the following questions as best you can. You have access to the following tools:

{tools}

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [{names}]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!
"""

    @hookimpl
    def write_tools(self, tools: list[dict[str, Any]], system: str) -> str:
        functions = [tool["function"] for tool in tools]
        text = self.introduction.replace("{tools}", self.listed(functions))
        text = text.replace("{names}", ",".join(f["name"] for f in functions))
        return f"{system}\n\n{text}" if system else text

    @hookimpl
    def write_calls(self, calls: list[dict[str, Any]]) -> str:
        action, given, result = self.keywords
        lines = [f"{action} {c['name']}\n{given} {write_json(c['arguments'])}\n" for c in calls]
        return "".join(lines) + result

    @hookimpl
    def write_results(self, results: list[str]) -> tuple[str, bool]:
        return self.keywords[2].join(f"{result}\n" for result in results), True

    @hookimpl
    def read_calls(self, text: str) -> list[dict[str, Any]]:
        """The calls up to the first observation: what a model writes behind that, it made up."""
        calls: list[dict[str, Any] | None] = []
        place, action = 0, _action(*self.keywords[:2])
        while match := action.search(text, place):
            if calls and self.keywords[2] in text[place : match.start()]:
                break
            pair = read_json(text, match.end())
            place = pair[1] if pair else match.end()
            if pair:
                calls.append(as_call(match["name"].strip(), pair[0]))
        return [call for call in calls if call is not None]

    def listed(self, functions: list[dict[str, Any]]) -> str:
        """The tools, described one by one."""
        return "\n\n".join(
            self.tool.replace("{name}", f["name"])
            .replace("{about}", f.get("description", ""))
            .replace("{schema}", write_json(f.get("parameters", {})))
            for f in functions
        )


@functools.cache
def _action(action: str, given: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(action)}[ \t]*(?P<name>[^\n]*)\n{re.escape(given)}[ \t]*")


class ReactZh(React):
    """ReAct with a Chinese introduction."""

    tool = (
        "{name}: 调用此工具与 {name} API 进行交互。{name} 有什么用？{about} 输入参数：{schema} "
        "此工具的输入应为JSON对象。"
    )
    introduction = """尽可能地回答以下问题。你可以使用以下工具:

{tools}

请按照以下格式进行:

Question: 需要你回答的输入问题
Thought: 你应该总是思考该做什么
Action: 需要使用的工具，应该是[{names}]中的一个
Action Input: 传入工具的内容
Observation: 行动的结果
... (这个Thought/Action/Action Input/Observation可以重复N次)
Thought: 我现在知道最后的答案
Final Answer: 对原始输入问题的最终答案

现在开始！
"""


class ReactGrpo(React):
    """ReAct for reinforcement learning: thoughts stand in <think> tags."""

    introduction = """A conversation for tool calling between User and Assistant. The user asks a question which \
may be solved by calling tools, and the Assistant solves it. The assistant first thinks about the reasoning process \
in the mind and then provides the user with the answer. The reasoning process should be enclosed within <think> \
</think>tags \
and answer should follow the ReACT format(Action:xxx
Action Input:xxx), i.e., <think> reasoning process here </think> Action: action here
Action Input: parameters here

Answer the following questions as best as you can. You have access to the following tools:

{tools}

Use the following format:

<think>you should always think about what to do</think>
Action: the action to take, should be one of [{names}]
Action Input: the input to the action
Observation: the result of the action, given by the actual calling
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Final Answer: the final answer to the original input question

Begin!
"""


class ToolBench(React):
    """ToolBench (Qin et al., arXiv 2307.16789): calls as in ReAct, functions as a JSON list, Finish at the end."""

    introduction = """You can use many tools(functions) to do the following task.
First I will give you the task description, and your task start.
At each step, you need to give your thought to analyze the status now and what to do next, with a function call to \
actually execute your step. Your output should follow this format:
Thought:
Action:
Action Input:

After the call, you will get the call result, and you are now in a new state.
Then you will analyze your status now, then decide what to do next...
After many (Thought-call) pairs, you finally perform the task, then you can give your final answer.
Remember:
1.the state change is irreversible, you can't go back to one of the former state, if you want to restart the task, \
say "I give up and restart".
2.All the thought is short, at most in 5 sentence.
3.You can do more then one try, so if your plan is to continuously try some conditions, you can do one of the \
conditions per try.
Let's Begin!
Task description: You should use functions to help handle the real time user queries. Remember:
1.ALWAYS call "Finish" function at the end of the task. And the final answer should contain enough information to \
show to the user,If you can't handle the task, or you find that function calls always fail(the function is not valid \
now), use function Finish->give_up_and_restart.
2.Do not use origin tool names, use only subfunctions' names.
Specifically, you have access to the following APIs: {tools}"""

    def listed(self, functions: list[dict[str, Any]]) -> str:
        return write_json(functions)


# -- Qwen's own keywords --------------------------------------------------------------------------------------
class QwenEn(React):
    """Qwen's own format before Hermes, in English: ✿FUNCTION✿, ✿ARGS✿, ✿RESULT✿ and ✿RETURN✿."""

    keywords = "✿FUNCTION✿:", "✿ARGS✿:", "✿RESULT✿:"
    tool = "### {name}\n\n{name}: {about} Parameters: {schema} Format the arguments as a JSON object."
    introduction = """# Tools

## You have access to the following tools:

{tools}

## When you need to call a tool, please insert the following command in your reply, which can be called zero or \
multiple times according to your needs:

✿FUNCTION✿: The tool to use, should be one of [{names}]
✿ARGS✿: The input of the tool
✿RESULT✿: Tool results
✿RETURN✿: Reply based on tool results. Images need to be rendered as ![](url)"""


class QwenEnParallel(QwenEn):
    """As qwen_en, for several calls at once."""

    introduction = """# Tools

## You have access to the following tools:

{tools}

## Insert the following command in your reply when you need to call N tools in parallel:

✿FUNCTION✿: The name of tool 1, should be one of [{names}]
✿ARGS✿: The input of tool 1
✿FUNCTION✿: The name of tool 2
✿ARGS✿: The input of tool 2
...
✿FUNCTION✿: The name of tool N
✿ARGS✿: The input of tool N
✿RESULT✿: The result of tool 1
✿RESULT✿: The result of tool 2
...
✿RESULT✿: he result of tool N
✿RETURN✿: Reply based on tool results. Images need to be rendered as ![](url)"""


class QwenZh(QwenEn):
    """Qwen's own format before Hermes, in Chinese."""

    tool = "### {name}\n\n{name}: {about} 输入参数：{schema} 此工具的输入应为JSON对象。"
    introduction = """# 工具

## 你拥有如下工具：

{tools}

## 你可以在回复中插入零次、一次或多次以下命令以调用工具：

✿FUNCTION✿: 工具名称，必须是[{names}]之一。
✿ARGS✿: 工具输入
✿RESULT✿: 工具结果
✿RETURN✿: 根据工具结果进行回复，需将图片用![](url)渲染出来"""


class QwenZhParallel(QwenZh):
    """As qwen_zh, for several calls at once."""

    introduction = """# 工具

## 你拥有如下工具：

{tools}

## 你可以在回复中插入以下命令以并行调用N个工具：

✿FUNCTION✿: 工具1的名称，必须是[{names}]之一
✿ARGS✿: 工具1的输入
✿FUNCTION✿: 工具2的名称
✿ARGS✿: 工具2的输入
...
✿FUNCTION✿: 工具N的名称
✿ARGS✿: 工具N的输入
✿RESULT✿: 工具1的结果
✿RESULT✿: 工具2的结果
...
✿RESULT✿: 工具N的结果
✿RETURN✿: 根据工具结果进行回复，需将图片用![](url)渲染出来"""
