"""The published row formats as tables: which words and columns mean what."""

from __future__ import annotations

import functools

ROLE_NAMES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "function_response": "tool",
    "ipython": "tool",
    "function": "tool",
    "function_call": "tool_call",
    "tool_call": "tool_call",
}
"""Role words in published data → our roles. `tool_call` is folded into the assistant's turn."""

COLUMNS = {
    "query": ("query", "prompt", "input", "instruction", "question", "problem"),
    "response": ("response", "answer", "output", "completion", "target", "chosen", "text"),
    "system": ("system", "system_prompt"),
    "rejected": ("rejected_response", "rejected"),
    "images": ("images", "image"),
    "videos": ("videos", "video"),
    "audios": ("audios", "audio"),
    "messages": ("messages", "conversations", "conversation"),
    "tools": ("tools", "functions"),
    "label": ("label", "kto_tag"),
}
"""Our column → the names under which data sets carry it, in order of preference."""

OTHER_COLUMNS = {"history": "history", "rejected_messages": "rejected_messages", "objects": "objects"}
"""Columns of the conversation that have one name only, as name → our column."""

MAY_STAND_BESIDE = ("response", "answer", "output", "completion", "target")
"""Columns that may hold something else than the conversation says, such as the solution that a reward compares."""

THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Under which keys published rows and servers hold an assistant's thoughts, apart from its words."""

TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Type of a content part that is text → the key of its text."""

MEDIA_PARTS = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "video": "video",
    "video_url": "video",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
}
"""Type of a content part that is a medium → our modality. The medium stands under the type, or under a key below."""

MEDIUM_KEYS = (*MEDIA_PARTS, "source", "url", "path", "base64")
"""Keys under which a content part holds its medium."""


MESSAGE_KEYS = ("role", "from", "content", "value", "tool_calls", "function_call")
"""Keys of a message without which it would say something else."""

OTHER_KEYS = ("reasoning_content", "reasoning", "thinking", "refusal", "weight", "train", "loss", "loss_scale")
"""Further keys of a message that are read."""

BOOKKEEPING = ("id", "tool_call_id", "index", "type")
"""Keys of a message that say nothing of its words nor of what it counts."""


@functools.cache
def plain(name: str) -> str:
    """A column's name without case, spaces and punctuation: `Question ` and `question` are alike."""
    return "".join(c for c in name.lower() if c.isalnum())


CONTENT = {plain(name): ours for ours, names in COLUMNS.items() for name in names}
CONTENT |= {plain(name): ours for name, ours in OTHER_COLUMNS.items()}
"""Plain name of a column that is part of the conversation → our column."""
