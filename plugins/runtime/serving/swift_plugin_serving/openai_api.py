"""OpenAI's interface as data: bodies of requests checked and read, replies and pieces written.

Fields that are not named here are those of `fields`: of no effect, neutral, or refused.
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from swift_core.contract.engine import Reply, Request, Sampling, Token
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.row import Row
from swift_core.data.formats import MEDIA_PARTS
from swift_core.data.messages import read_talk
from swift_core.data.tools import read_tools
from swift_plugin_serving import fields
from swift_plugin_serving.errors import BadField
from swift_plugin_serving.history import with_sound_calls
from swift_plugin_serving.likely import Likely
from swift_plugin_serving.streams import event

Json = dict[str, Any]

DONE = "[DONE]"
"""The last event of a stream."""


class StreamOptions(BaseModel):
    """Options of a streamed answer. include_usage: a last chunk counts the tokens."""

    include_usage: bool = False


class AnyBody(BaseModel):
    """A body whose text can be written again, and whose unknown fields are known to `fields`, or mistakes."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, value: Any) -> Any:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text holds half of a character (a lone surrogate); write it anew") from None
        except (TypeError, RecursionError):
            raise ValueError("the body is no JSON object, or too deep") from None
        return value

    @model_validator(mode="after")
    def _has_known_fields(self) -> Any:
        unknown = [name for name in self.model_extra or {} if name not in KNOWN]
        if unknown:
            near = did_you_mean(unknown[0], [*type(self).model_fields, *KNOWN])
            raise ValueError(f"unknown field {unknown[0][:80]!r}.{near}")
        return self


MOST_LIKELY = 20
"""Most of the likeliest tokens that are told with a token."""

KNOWN = {*fields.ANY, *fields.NEUTRAL, *fields.SAMPLING}


class Body(AnyBody):
    """What both kinds of completion take.

    top_k, min_p, repetition_penalty, min_tokens, stop_token_ids, ignore_eos, structured_outputs and guided_* are
    vLLM's, not OpenAI's.
    """

    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    min_tokens: int | None = Field(None, ge=0)
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0, le=100)
    n: int | None = Field(None, ge=1, le=128)
    best_of: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    min_p: float | None = Field(None, ge=0, le=1)
    stop_token_ids: list[StrictInt] | None = None
    ignore_eos: bool | None = None
    response_format: Json | None = None
    structured_outputs: Json | None = None
    guided_json: Json | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def length(self) -> int | None:
        """The longest answer asked for, in tokens."""
        return self.max_tokens

    def likelihoods(self) -> int | None:
        """How many of the likeliest tokens are told with each of the answer; None: not even its own likelihood."""
        return None


class ChatBody(Body):
    """The body of POST /v1/chat/completions."""

    messages: list[Json] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    tools: list[Json] | None = None
    functions: list[Json] | None = None
    tool_choice: Any = None
    function_call: Any = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: Json | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LIKELY)

    def likelihoods(self) -> int | None:
        """As `Body` says. Raises BadField for likeliest tokens without the token's own likelihood."""
        if self.top_logprobs and not self.logprobs:
            raise BadField("top_logprobs", "top_logprobs goes with logprobs=true.")
        return (self.top_logprobs or 0) if self.logprobs else None

    def length(self) -> int | None:
        """The longest answer asked for, in tokens; the newer of the two names wins."""
        return self.max_completion_tokens or self.max_tokens

    def offered(self) -> list[Json]:
        """The tools that the model may call; `functions` is their older name."""
        asked = self.tool_choice if self.tools else self.function_call
        return [] if asked == "none" else self.tools or self.functions or []


class CompletionBody(Body):
    """The body of POST /v1/completions: texts, or token ids, to go on from without a chat template."""

    prompt: str | list[StrictInt] | list[str] | list[list[StrictInt]]
    max_tokens: int | None = Field(None, ge=0)
    logprobs: int | None = Field(None, ge=0, le=MOST_LIKELY)
    echo: bool | None = None

    def likelihoods(self) -> int | None:
        """As `Body` says."""
        return self.logprobs


def check(body: Body) -> None:
    """BadField where the body asks for something that would be ignored."""
    own = type(body).model_fields
    unlike = {name: values for name, values in (fields.NEUTRAL | fields.SAMPLING).items() if name not in own}
    if isinstance(body, CompletionBody):
        unlike |= {"add_special_tokens": (True,)}  # a prompt is tokenized as it is, a conversation has its own
    fields.check({name: getattr(body, name, None) for name in unlike}, unlike)
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise BadField("best_of", f"best_of={body.best_of} is not supported by this server; ask for n answers.")
    most = body.length()
    if body.min_tokens and most is not None and body.min_tokens > most:
        raise BadField("min_tokens", f"min_tokens={body.min_tokens} is more than the {most} of max_tokens.")
    if body.stream and getattr(body, "echo", None) and body.likelihoods() is not None:
        raise BadField("echo", "echo with logprobs is not streamed; ask without stream.")


def chat_request(body: ChatBody, sampling: Sampling, adapter: str | None) -> Request:
    """The conversation of a chat body as a request. sampling: as `sampling_of` gives it."""
    thinking = thinking_of(body.reasoning_effort, body.chat_template_kwargs)
    return conversation(body.messages, body.offered(), sampling, adapter, thinking)


THINKING = ("enable_thinking", "thinking")
"""What chat templates call the switch of thoughts."""


def thinking_of(effort: Any, switches: Json | None) -> bool | None:
    """Whether an answer is to begin with thoughts; None where the client does not say.

    effort: OpenAI's reasoning_effort, of which `none` alone means something to a template. switches: vLLM's
    chat_template_kwargs. Raises BadField for a switch that this server does not know.
    """
    wanted = False if effort == "none" else None
    for name, value in (switches or {}).items():
        if name not in THINKING or not isinstance(value, bool | None):
            text = f"chat_template_kwargs: {name[:80]!r} is not supported by this server; "
            raise BadField("chat_template_kwargs", text + f"{' or '.join(THINKING)} is, as true or false.")
        wanted = value if value is not None else wanted
    return wanted


def conversation(
    messages: list[Json], tools: list[Json], sampling: Sampling, adapter: str | None, thinking: bool | None = None
) -> Request:
    """Messages and tools in OpenAI's form as a request. Raises SwiftError where they cannot be read."""
    talk = read_talk(with_sound_calls(messages), "messages")
    _check_parts(messages, sum(map(len, talk.media.values())))
    row = Row(talk.messages, thinking=thinking, literal=True, where="messages")
    if tools:
        row.tools = read_tools(tools, "tools")
    for kind, values in talk.media.items():  # checked, fetched and opened later
        setattr(row, f"{kind}s", [value.get("url") if isinstance(value, dict) else value for value in values])
    return Request(row, sampling, adapter)


def _check_parts(messages: list[Json], held: int) -> None:
    """SwiftError where a part of some message is a medium and holds none. held: media of all messages.

    What a tool answers may be any JSON.
    """
    contents = [message.get("content") for message in messages if message.get("role") != "tool"]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    if sum(isinstance(part, dict) and part.get("type") in MEDIA_PARTS for part in parts) > held:
        raise SwiftError("messages: a content part is to be a picture, a video or a sound, and holds none.")


def prompt_requests(body: CompletionBody, sampling: Sampling, adapter: str | None) -> list[Request]:
    """One request per prompt of a completion body."""
    several = isinstance(body.prompt, list) and bool(body.prompt) and not isinstance(body.prompt[0], int)
    prompts: list[Any] = body.prompt if several else [body.prompt]  # type: ignore[assignment]
    if body.echo:
        sampling = dataclasses.replace(sampling, prompt_logprobs=sampling.logprobs)
    return [Request(Row([], where="prompt"), sampling, adapter, prompt) for prompt in prompts]


DRAWN = (
    "temperature", "top_k", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed", "min_p",
    "ignore_eos",
)  # fmt: skip
"""Fields that `Sampling` calls by the same name."""

COLDEST = 1e-4
"""Below this temperature the likeliest token is drawn: scores divided by less are no numbers any more."""


def _tuple(values: list[int] | None) -> tuple[int, ...] | None:
    return tuple(values) if values else None


def _biased(bias: dict[str, float] | None) -> tuple[tuple[int, float], ...] | None:
    """Token ids and what is added to their scores. Raises BadField for what is no id."""
    if not bias:
        return None
    strange = next((token for token in bias if not (token.isascii() and token.isdigit() and len(token) < 10)), None)
    if strange is not None:
        raise BadField("logit_bias", f"logit_bias: {strange[:40]!r} is no token id.")
    return tuple(sorted((int(token), value) for token, value in bias.items()))


def sampling_of(body: Any, defaults: Sampling) -> Sampling:
    """How the answer is drawn: what the body says, and the server's defaults for the rest.

    vLLM's top_k=-1 means all tokens; top_p=0 the likeliest one.
    """
    stop = getattr(body, "stop", None)
    said = {
        "max_new_tokens": body.length(),
        "min_new_tokens": getattr(body, "min_tokens", None),
        "logprobs": body.likelihoods() if isinstance(body, Body) else None,
        "stop": None if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        "stop_ids": _tuple(getattr(body, "stop_token_ids", None)),
        "logit_bias": _biased(getattr(body, "logit_bias", None)),
        **{name: getattr(body, name, None) for name in DRAWN},
        "top_p": body.top_p or None,
    }
    if body.top_p == 0 or (body.temperature is not None and body.temperature < COLDEST):
        said["temperature"] = 0.0
    if said["top_k"] == -1:
        said["top_k"] = 0
    return dataclasses.replace(defaults, **{name: value for name, value in said.items() if value is not None})


class Written:
    """Writes the answers to one HTTP request: the same id, time and model in each of its parts.

    prompts: how many of the answers have a prompt of their own. counts: whether a stream ends with a count of tokens.
    parallel: whether an answer may hold several calls. likely: writes the likelihoods of tokens, None: nobody asks for
    them. echoes: for each choice, its prompt's text, told before the answer.
    """

    def __init__(
        self,
        model: str,
        chat: bool,
        prompts: int = 1,
        counts: bool = False,
        parallel: bool = True,
        likely: Likely | None = None,
        echoes: Sequence[str] = (),
    ):
        self.chat, self.prompts, self.counts, self.parallel = chat, prompts, counts, parallel
        self.likely, self.echoes = likely, echoes
        self.told: dict[int, int] = {}
        self.waiting: dict[int, list[Token]] = {}
        self.places: dict[int, int] = {}
        self.head: Json = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, replies: list[Reply]) -> Json:
        """The body of an answer that is not streamed."""
        name = "chat.completion" if self.chat else "text_completion"
        choices = [self._choice(index, self._kept(reply)) for index, reply in enumerate(replies)]
        return {**self.head, "object": name, "choices": choices, "usage": usage(replies, self.prompts)}

    def _choice(self, index: int, reply: Reply) -> Json:
        end = {"logprobs": self._told([*reply.prompt, *reply.tokens]), "finish_reason": reply.finish_reason}
        if not self.chat:
            return {"index": index, "text": (self.echoes[index] if self.echoes else "") + reply.text, **end}
        message: Json = {"role": "assistant", "content": reply.content or (None if reply.calls else "")}
        if reply.thought:
            message["reasoning_content"] = reply.thought
        if reply.calls:
            message["tool_calls"] = tool_calls(reply.calls)
        return {"index": index, "message": message, **end}

    def _told(self, tokens: Sequence[Token], start: int = 0) -> Json | None:
        if self.likely is None:
            return None
        return self.likely.of_chat(tokens) if self.chat else self.likely.of_text(tokens, start)

    def opening(self, index: int) -> list[Json]:
        """The first chunk of a streamed choice."""
        if not self.chat:
            return self.piece(index, self.echoes[index]) if self.echoes else []
        return [self._chunk(index, {"role": "assistant", "content": ""})]

    def tokens(self, index: int, tokens: Sequence[Token]) -> None:
        """Tokens whose likelihoods go out with the next chunk of the choice."""
        self.waiting.setdefault(index, []).extend(tokens)

    def piece(self, index: int, text: str) -> list[Json]:
        """A chunk with a piece of text."""
        return [self._chunk(index, {"content": text} if self.chat else text)]

    def thought(self, index: int, text: str) -> list[Json]:
        """A chunk with a piece of the thoughts."""
        return [self._chunk(index, {"reasoning_content": text})]

    def closing(self, index: int, reply: Reply, told: bool) -> list[Json]:
        """The last chunks of a streamed choice: its text where it was not told, its calls, and why it ended."""
        reply = self._kept(reply)
        thought = self.thought(index, reply.thought) if reply.thought and not told else []
        text = self.piece(index, reply.content) if reply.content and not told else []
        calls = [self._chunk(index, {"tool_calls": [piece]}) for piece in call_pieces(tool_calls(reply.calls))]
        self.waiting[index] = reply.tokens[self.told.get(index, 0) :]
        return [*thought, *text, *calls, self._chunk(index, {} if self.chat else "", reply.finish_reason)]

    def end(self, replies: list[Reply]) -> list[Any]:
        """The chunk of `include_usage`, which has no choice, and the end of the stream."""
        counted = {**self.head, "object": self._stream_object(), "choices": [], "usage": usage(replies, self.prompts)}
        return [*([counted] if self.counts else []), DONE]

    def broken(self, error: Json) -> list[Any]:
        """A failure under way, and the end of the stream."""
        return [error, DONE]

    def event(self, chunk: Any) -> str:
        """A chunk as an event without a name."""
        return event(chunk)

    def _kept(self, reply: Reply) -> Reply:
        """The reply, with its first call alone where the client takes one at a time."""
        return reply if self.parallel or len(reply.calls) < 2 else dataclasses.replace(reply, calls=reply.calls[:1])

    def _chunk(self, index: int, said: Any, finish_reason: str | None = None) -> Json:
        tokens = self.waiting.pop(index, [])
        choice = {"index": index, "delta" if self.chat else "text": said, "logprobs": self._told_now(index, tokens)}
        return {
            **self.head,
            "object": self._stream_object(),
            "choices": [{**choice, "finish_reason": finish_reason}],
        }

    def _told_now(self, index: int, tokens: list[Token]) -> Json | None:
        """The likelihoods of further tokens of a streamed choice."""
        if self.likely is None or not tokens:
            return None
        place = self.places.get(index, 0)
        self.told[index] = self.told.get(index, 0) + len(tokens)
        self.places[index] = place + self.likely.length(tokens)
        return self._told(tokens, place)

    def _stream_object(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"


def tool_calls(calls: list[Json]) -> list[Json]:
    """Calls in OpenAI's form: an id each, and the arguments as JSON text."""
    return [
        {
            "id": f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
        }
        for call in calls
    ]


PIECE = 24
"""Characters of a piece of a streamed call's arguments."""


def call_pieces(calls: list[Json]) -> Iterator[Json]:
    """Calls as a stream tells them: each opens with its id and name, and its arguments follow in pieces."""
    for index, call in enumerate(calls):
        text = call["function"]["arguments"]
        yield {"index": index, **call, "function": {**call["function"], "arguments": ""}}
        for start in range(0, len(text), PIECE):
            yield {"index": index, "function": {"arguments": text[start : start + PIECE]}}


def usage(replies: list[Reply], prompts: int) -> Json:
    """Token counts; several answers to one prompt count it once."""
    asked = sum(reply.prompt_tokens for reply in replies[:: max(1, len(replies) // prompts)])
    said = sum(reply.completion_tokens for reply in replies)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def model_list(names: list[str], started: int, window: int | None) -> Json:
    """The body of GET /v1/models: the base model, then its adapters, each with its parent.

    window: most tokens of prompt and answer together; None: not known.
    """
    common = {"object": "model", "created": started, "owned_by": "swift", "max_model_len": window}
    listed = [{"id": name, **common, "parent": names[0] if n else None} for n, name in enumerate(names)]
    return {"object": "list", "data": listed}
