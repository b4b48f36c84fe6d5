"""Tool calls as tags: the name, then every argument in tags of its own, as many families write them.

A text stands between its tags as it is, everything else as JSON. So that reading gives back exactly what was
written, a text that reads like JSON (`2`, `true`, `{}`) or that holds the closing tag is written as a JSON
string; where a format says of an argument whether it is text, that decides. Names that are no plain words are
escaped as inside a JSON string.

Each class is a format: its marks, how tools are introduced and how results are framed. Facts: the chat templates
of the checkpoints, and ms-swift 4.6.0.
"""

from __future__ import annotations

from swift_plugin_tagged_calls.attributes import DeepseekV4, DeepseekV41, Minicpm5, MinimaxM2
from swift_plugin_tagged_calls.functions import Nemotron, Qwen3Coder, Qwen35, SeedOss
from swift_plugin_tagged_calls.keys import Glm45, Glm47, Glm51, HyV3, HyV3Preview, Ling3, Spark25, Xing40
from swift_plugin_tagged_calls.kimi import KimiK3
from swift_plugin_tagged_calls.nested import MinimaxM3

__all__ = [
    "DeepseekV4",
    "DeepseekV41",
    "Glm45",
    "Glm47",
    "Glm51",
    "HyV3",
    "HyV3Preview",
    "KimiK3",
    "Ling3",
    "Minicpm5",
    "MinimaxM2",
    "MinimaxM3",
    "Nemotron",
    "Qwen3Coder",
    "Qwen35",
    "SeedOss",
    "Spark25",
    "Xing40",
]
