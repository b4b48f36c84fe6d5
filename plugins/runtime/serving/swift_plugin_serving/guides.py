"""The form that a client wants an answer to have: of JSON, of texts to choose from, of tool calls."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Engine, Guide, Request
from swift_core.contract.errors import SwiftError
from swift_core.inference.forced import forced_calls
from swift_plugin_serving.errors import BadField
from swift_plugin_serving.thoughts import marks_of

Json = dict[str, Any]

OBJECT = '{"type": "object"}'
"""The schema of any JSON object."""

IDLE = {"disable_any_whitespace", "disable_fallback", "disable_additional_properties"}
"""Keys of vLLM's structured_outputs that change how JSON is kept; false is what this server does."""


@dataclass(frozen=True)
class Wish:
    """What the client says about the answer's form. guide: that of a text.

    forced: the name of a tool that must be called, empty: any of them; None: none must. several: whether more than one
    call may stand in an answer. field: which asks for the call.
    """

    guide: Guide | None = None
    forced: str | None = None
    several: bool = True
    field: str = "tool_choice"


def wish_of(body: Any) -> Wish:
    """That of a body of OpenAI's chat or completion. Raises BadField for what cannot be honoured."""
    tools = getattr(body, "tools", None)
    field = "tool_choice" if tools else "function_call"
    if not tools and getattr(body, "tool_choice", None) not in (None, "auto", "none"):
        field = "tool_choice"
    parallel = getattr(body, "parallel_tool_calls", None) is not False
    tools = tools or getattr(body, "functions", None) or []
    return wish(guide_of(body), tools, getattr(body, field, None), field, parallel)


def wish(guide: Guide | None, tools: list[Any], choice: Any, field: str, several: bool) -> Wish:
    """A form and a choice of tools as one wish. Raises BadField where they do not go together."""
    forced = _forced(choice, bool(tools), field)
    if guide and tools and choice != "none":
        raise BadField(guide.field, f"{guide.field}: an answer that may call tools has no form of its own here; leave "
                                    f"one of them out, or say {field} none.")  # fmt: skip
    return Wish(guide, forced, several, field)


def _forced(choice: Any, tools: bool, field: str) -> str | None:
    if choice in (None, "auto", "none"):
        return None
    if not tools:
        raise BadField(field, f"{field}: there are no tools to choose from.")
    if choice in ("required", "any"):
        return ""
    named = choice.get("function", choice) if isinstance(choice, dict) else {}
    if not (isinstance(named, dict) and isinstance(named.get("name"), str)):
        raise BadField(field, f"{field}={str(choice)[:80]} is not supported by this server.")
    name: str = named["name"]
    return name


def guide_of(body: Any) -> Guide | None:
    """The form of a text: response_format, vLLM's structured_outputs, and its older guided_json and kin."""
    wishes = [(name, read(getattr(body, name, None), name)) for name, read in READERS.items()]
    found = [(name, guide) for name, guide in wishes if guide is not None]
    if len(found) > 1:
        raise BadField(found[1][0], f"{found[0][0]} and {found[1][0]} each want a form of the answer; say one of them.")
    return found[0][1] if found else None


def response_format(wanted: Any, field: str) -> Guide | None:
    """The form that OpenAI's response_format, or its newer text.format, wants. Raises BadField for an unknown one."""
    if wanted is None or wanted == {"type": "text"}:
        return None
    sort = wanted.get("type") if isinstance(wanted, dict) else None
    if sort == "json_object":
        return Guide("json", OBJECT, field=field)
    if sort == "json_schema":
        outer = wanted.get("json_schema", wanted)
        return json_guide(outer.get("schema") if isinstance(outer, dict) else None, field)
    raise BadField(field, f"{field}={str(wanted)[:80]} is not supported by this server.")


def json_guide(schema: Any, field: str) -> Guide | None:
    """The form of a JSON schema, also as JSON text. Raises BadField for anything else."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError:
            raise BadField(field, f"{field}: the schema is no JSON.") from None
    if not isinstance(schema, dict):
        raise BadField(field, f"{field}: a JSON schema is needed, as an object.")
    return Guide("json", json.dumps(schema), field=field)


def _structured(wanted: Any, field: str) -> Guide | None:
    if wanted is None:
        return None
    said = {name: value for name, value in wanted.items() if value is not None and value is not False}
    if len(said) != 1 or next(iter(said)) not in STRUCTURED:
        raise BadField(field, f"{field}: say one of {', '.join(STRUCTURED)}, and nothing else.")
    ((name, value),) = said.items()
    return STRUCTURED[name](value, field)


def _json(schema: Any, field: str) -> Guide | None:
    return None if schema is None else json_guide(schema, field)


def _text(sort: str) -> Callable[[Any, str], Guide | None]:
    def read(text: Any, field: str) -> Guide | None:
        if text is not None and not (isinstance(text, str) and text):
            raise BadField(field, f"{field}: a text is needed.")
        return None if text is None else Guide(sort, text, field=field)

    return read


def _choice(texts: Any, field: str) -> Guide | None:
    if texts is None:
        return None
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) and text for text in texts)):
        raise BadField(field, f"{field}: a list of texts is needed, none of them empty.")
    return Guide("choice", json.dumps(texts), field=field)


def _object(wanted: Any, field: str) -> Guide | None:
    if wanted is not True:
        raise BadField(field, f"{field}: json_object is true or false.")
    return Guide("json", OBJECT, field=field)


STRUCTURED: dict[str, Callable[[Any, str], Guide | None]] = {
    "json": _json,
    "json_object": _object,
    "regex": _text("regex"),
    "choice": _choice,
    "grammar": _text("grammar"),
}
"""Keys of vLLM's structured_outputs."""

READERS: dict[str, Callable[[Any, str], Guide | None]] = {
    "response_format": response_format,
    "structured_outputs": _structured,
    **{f"guided_{name}": read for name, read in STRUCTURED.items() if name != "json_object"},
}
"""Fields of a body that want a form."""


def shaped(engine: Engine, request: Request, wish: Wish) -> Request:
    """The request with the form that its answer shall have; thoughts may come before it where the template knows them.

    A tool that is `strict` is called by its schema or not at all. Raises SwiftError where the model's agent format
    cannot express it.
    """
    guide = _calls(engine, request, wish) or wish.guide
    if guide is None:
        return request
    if marks := marks_of(engine, request):
        guide = dataclasses.replace(guide, thoughts=(marks.opens, marks.closes), opened=marks.opened)
    return request.drawn(guide=guide)


def _calls(engine: Engine, request: Request, wish: Wish) -> Guide | None:
    tools = request.row.tools or []
    if wish.forced is None:
        if not any(map(_strict, tools)):
            return None
        tools = [tool if _strict(tool) else {"function": {"name": tool["function"]["name"]}} for tool in tools]
    if wish.forced:
        tools = [tool for tool in tools if tool["function"]["name"] == wish.forced]
        if not tools:
            raise BadField(wish.field, f"{wish.field}: there is no tool {wish.forced[:80]!r}.")
    job: Any = declared(engine, EngineTraits, "job")
    field = wish.field if wish.forced is not None else "tools"
    if job is None:
        raise BadField(field, f"{field}: this server's engine does not know the model's format of tool calls.")
    try:
        return forced_calls(job, tools, wish.several and not wish.forced, wish.forced is None, field)
    except SwiftError as error:
        raise BadField(field, f"{field}: {error}") from None


def _strict(tool: Json) -> bool:
    return tool["function"].get("strict") is True
