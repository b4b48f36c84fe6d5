"""Fields of OpenAI's and vLLM's interfaces that this server does not have: which values of theirs ask for nothing.

A client made for another server sends them with their defaults, which is harmless. A value that would change the
answer and cannot be honoured is refused by name: a client must learn that it will not get what it asked for.
"""

from __future__ import annotations

from typing import Any

from swift_plugin_serving.errors import BadField

ANY = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "priority",
    "request_id",
    "cache_salt",
    "spaces_between_special_tokens",
)
"""Fields that change no answer, whatever they say: who asks, how it is stored, billed, cached and sped up."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    # OpenAI
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "audio": (),
    "web_search_options": (),
    "moderation": (),
    "echo": (False,),
    "suffix": ("",),
    # vLLM
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "truncate_prompt_tokens": (),
    "prompt_logprobs": (0,),
    "allowed_token_ids": ([],),
    "bad_words": ([],),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "add_special_tokens": (False,),
    "include_reasoning": (True,),
    "documents": ([],),
    "chat_template": (),
    "mm_processor_kwargs": ({},),
    "structured_outputs": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_decoding_backend": (),
    "guided_whitespace_pattern": (),
    "logits_processors": ([],),
    "return_tokens_as_token_ids": (False,),
    "return_token_ids": (False,),
    "return_logprob": (False,),
    "kv_transfer_params": (),
    "vllm_xargs": ({},),
    "thinking_token_budget": (),
}
"""Other fields → the values that ask for nothing, beside null; bodies that have a field by name honour it."""

SAMPLING: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "min_tokens": (0,),
}
"""The same, of how tokens are drawn."""


def check(said: dict[str, Any], known: dict[str, tuple[Any, ...]]) -> None:
    """BadField for the first field whose value would be ignored. said: the fields of a body that it has no name for."""
    for name, value in said.items():
        if name in known and value is not None and not _is_one_of(value, known[name]):
            raise BadField(name, f"{name}={repr(value)[:80]} is not supported by this server.")


def _is_one_of(value: Any, neutral: tuple[Any, ...]) -> bool:
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in neutral)
