"""Which template a job uses, decided once its tokenizer is there, and said in one line.

The template that the card or the user named is compared with the checkpoint's own chat template. One that the user
named stays, and the difference is shown; one that a card named, or that was only a guess, gives way to the
checkpoint's own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError
from swift_core.job.lockfile import LOCK_FILE, read_json
from swift_core.job.resolve import OWN, OWN_ENTRY
from swift_core.templates.carried import carried
from swift_core.templates.chat import CALL, DAY, QUESTION, TOOL, ChatForm, Message, Refused
from swift_core.templates.compare import Difference, agrees, differences, refused
from swift_core.templates.declaration import Template
from swift_core.templates.derive import Deriver
from swift_core.templates.fit import fit
from swift_core.templates.own import OwnTemplate
from swift_core.templates.probes import EDGES, PLAIN, THOUGHTS
from swift_core.templates.sound import objection

if TYPE_CHECKING:
    from swift_core.contract.job import Installed, Job, Selected

SETTLED = "template"
"""In the memo of a job whose template is settled: whether it writes what the checkpoint's chat template writes, and
whether that takes contents as parts."""


def settle(job: Job, processor: Any, path: str) -> None:
    """Decide on the job's template, say which and why, and let the processor carry it into whatever is saved.

    Jobs without a chat template of their own kind (pre-training, embeddings, heads) are left alone. Raises SwiftError
    where the checkpoint's own chat template is to be used and is unsound, or where `--template own` finds none.
    """
    templates = job.many("template")
    if not templates or not _has_a_say(job):
        return
    decision = _Decision(job, templates[0], processor, path)
    if SETTLED in job.memo:  # another processor of the same job
        decision.carry(*job.memo[SETTLED])
    else:
        decision.take()


def _has_a_say(job: Job) -> bool:
    """Whether the job writes conversations: not where the job itself sets its template, as `swift pt` does."""
    return job.card.task == "causal_lm" and not job.sources.get("template", "").startswith("swift ")


class _Decision:
    def __init__(self, job: Job, item: Selected, processor: Any, path: str):
        self.job, self.item, self.processor, self.path = job, item, processor, path
        self.template: Template = item.component
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.source = job.sources.get("template", "card")
        self.form: ChatForm | None = None

    def take(self) -> None:
        """Settle it: keep the template, or put the checkpoint's own in its place."""
        wanted = isinstance(self.template, OwnTemplate)
        source = chat_template_of(self.processor)
        if not source:
            return self._without(wanted)
        self.form = form_of(self.tokenizer, source, self.path)
        if wanted:
            return self._use_own("as you said" if self._is_said() else f"as {self.source} says")
        refusal = refused(self.form, PLAIN)
        if refusal:
            self.job.say(f"Template {self.template.name} ({self.source}). It could not be compared: {refusal}.")
            return self.carry(False)
        plain = differences(self.template, self.form, self.tokenizer, PLAIN)
        if plain and not (self._is_said() or self.source.endswith(LOCK_FILE)):
            try:
                return self._use_own(f"because {self.template.name!r} ({self.source}) differs. {plain[0].shown()}")
            except SwiftError as error:
                if "checkpoint" not in self.job.sources.get("model_type", ""):
                    raise
                self.job.say(f"{error} The family's card lists this checkpoint, so its template is used.")
        self._keep(plain)
        return None

    def _is_said(self) -> bool:
        return self.source != "card" and not self.source.endswith(LOCK_FILE)

    def _without(self, wanted: bool) -> None:
        if wanted:
            raise SwiftError(f"--template own: {self.path} has no chat template. Say --template NAME.")
        self.job.say(f"Template {self.template.name} ({self.source}); the checkpoint has no chat template of its own.")
        self.carry(False)

    def _keep(self, plain: list[Difference]) -> None:
        assert self.form is not None
        name = self.template.name
        if plain:
            says = f"It differs from the checkpoint's own (--template {OWN}). {plain[0].shown()}"
        else:
            thinks = self.form.key or self.template.thinking
            rare = differences(self.template, self.form, self.tokenizer, EDGES | (THOUGHTS if thinks else {}))
            says = "It writes what the checkpoint's own chat template writes" + _apart(rare) + self._other_calls()
        self.job.say(f"Template {name} ({self.source}). {says}")
        self.carry(not plain, self.form.parts)

    def _other_calls(self) -> str:
        """What to say where the template's agent format is not that of the checkpoint's chat template."""
        assert self.form is not None
        agents = self.job.many("agent")
        agent = agent_of(self.form, self.job) if agents and self.form.calls is not None else None
        if agent is None or agent.name == agents[0].entry.name:
            return ""
        return f" Rows with tools: it writes calls as --agent {agent.name} does, the job's is {agents[0].entry.name}."

    def _use_own(self, why: str) -> None:
        assert self.form is not None
        agent, note = self._agent()
        self.template = own_template(self.form, self.tokenizer, self._declared(), agent)
        how = "" if self.template.fitted else " No declaration fits it: each answer is derived from it."
        day = f" It writes {DAY:%d %b %Y} for the day, whatever day it is." if self.form.dated else ""
        self.job.replace(self.item, OWN_ENTRY, self.template)
        self.job.options.template = OWN
        self.job.say(f"Template: the checkpoint's own, {why}{how}{day}{note}")
        self.carry(True, self.form.parts)

    def _declared(self) -> Template:
        """The template that the family's card names; it knows how media are written."""
        if not isinstance(self.template, OwnTemplate):
            return self.template
        return Catalogue.installed().find("template", self.job.card.template).load()

    def _agent(self) -> tuple[str | None, str]:
        """The agent format that reads this chat template's calls, put into the job, and what to say of it.

        None where the chat template writes no tools, or the user named another format: then that one writes them.
        """
        assert self.form is not None
        if self.form.calls is None or self._named_agent():
            return None, ""
        agent = agent_of(self.form, self.job)
        self.job.put("agent", agent)
        self.job.options.agent = agent.name if agent else None
        return (agent.name, "") if agent else ("", " Its tool calls are written, but no installed agent reads them.")

    def _named_agent(self) -> bool:
        source = self.job.sources.get("agent", "")
        return bool(self.job.many("agent")) and not source.startswith("template ") and not source.endswith(LOCK_FILE)

    def carry(self, same: bool, parts: bool = False) -> None:
        """Give tokenizer and processor the chat template that whatever is saved shall have."""
        self.job.memo[SETTLED] = same, parts
        own = chat_template_of(self.processor) if same else None
        text = carried(self.template, self.tokenizer, self.job.options.system, own, parts)
        if self.processor is not self.tokenizer:
            if not same and getattr(self.processor, "chat_template", None):
                self.job.say("What is saved keeps the processor's chat template: the declared one knows no media.")
            else:
                self.processor.chat_template = text
        self.tokenizer.chat_template = text


def _apart(rare: list[Difference]) -> str:
    return f", but for {', '.join(d.probe for d in rare)}." if rare else "."


def own_template(form: ChatForm, tokenizer: Any, declared: Template, agent: str | None = None) -> OwnTemplate:
    """The template `own` of a chat template: fitted where a declaration agrees with it, else derived.

    declared: the family's template, whose media stand. agent: who reads its calls; None: tools are not written by it.
    SwiftError where it is unsound.
    """
    try:
        deriver = Deriver(form)
        reason = objection(deriver)
    except Refused as error:
        reason = str(error)
    if reason:
        raise SwiftError(
            f"The checkpoint's own chat template cannot be trained on soundly: {reason}. Say --template NAME "
            "(`swift list templates`), or mend the checkpoint's chat_template or its generation_config.json."
        )
    facts: dict[str, Any] = {"name": OWN, "media": declared.media, "agent": agent or "", "deriver": deriver}
    facts["writes_tools"] = agent is not None
    fields = fit(deriver)
    own = OwnTemplate(fitted=True, **fields, **facts) if fields else None
    if own and agrees(own, deriver, tokenizer):
        return own
    return OwnTemplate(stop=form.stops, end="", **facts)


def agent_of(form: ChatForm, job: Job) -> Installed | None:
    """The agent format that writes a call as the chat template does: the job's own first, then any installed."""
    messages: list[Message] = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
    ]
    said = form.text(messages, [TOOL]).rpartition(QUESTION)[2]
    entries: list[Installed] = [*(c.entry for c in job.many("agent")), *Catalogue.installed().of_kind("agent")]
    return next((entry for entry in entries if _writes(entry, said)), None)


def _writes(entry: Installed, said: str) -> bool:
    try:
        text = entry.load()().write_calls(calls=[CALL])
    except (SwiftError, TypeError, AttributeError):
        return False
    return bool(text) and text.strip() in said


def chat_template_of(processor: Any) -> str | dict[str, str] | None:
    """The chat template of a processor or tokenizer: one, or several by name; None where it has none."""
    own = getattr(processor, "chat_template", None)
    template: str | dict[str, str] | None = own or getattr(getattr(processor, "tokenizer", None), "chat_template", None)
    return template or None


def form_of(tokenizer: Any, source: str | dict[str, str], path: str) -> ChatForm:
    """The chat template as it is asked, through the tokenizer's `apply_chat_template`.

    path: the checkpoint's folder, whose configurations name the tokens that end an answer.
    """

    def render(messages: list[Any], tools: Any = None, **values: Any) -> str:
        chosen = source if isinstance(source, str) else (tools and source.get("tool_use")) or source["default"]
        chosen = with_clock(chosen, values.pop("strftime_now", None))
        text: str = tokenizer.apply_chat_template(messages, tools=tools, chat_template=chosen, tokenize=False, **values)
        return text

    text = source if isinstance(source, str) else "\n".join(source.values())
    return ChatForm(text, render, stops_of(tokenizer, path))


def with_clock(source: str, clock: Any) -> str:
    """A chat template that asks `clock` for the day: its calls of `strftime_now` are replaced by the answers.

    A tokenizer takes no functions among the values of a template. clock: format → text, or anything that cannot be
    called, for a template that shall find no `strftime_now`. ValueError where a call computes its format: the day of
    the run would be written in silence.
    """
    if not callable(clock):
        return re.sub(r"\bstrftime_now\b", "no_strftime_now", source)
    dated = re.sub(r"\bstrftime_now\(\s*(['\"])(.*?)\1\s*\)", lambda m: repr(clock(m[2])), source)
    if re.search(r"\bstrftime_now\s*\(", dated):
        raise ValueError("it asks for the day in a form that it computes, so that no fixed day can be given to it")
    return dated


def stops_of(tokenizer: Any, path: str) -> list[str]:
    """The tokens that end an answer, as generation_config.json, config.json and the tokenizer name them."""
    numbers: list[int] = []
    for name in ("generation_config.json", "config.json"):
        end = read_json(Path(path, name)).get("eos_token_id")
        numbers += [end] if isinstance(end, int) else end or []
    words = [tokenizer.convert_ids_to_tokens(n) for n in numbers if n < len(tokenizer)]
    return [*filter(None, words), *filter(None, [tokenizer.eos_token])]
