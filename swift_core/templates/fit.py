"""A `Template` fitted to a checkpoint's own chat template, from about ten renderings of words that stand out.

What it declares is text between those words, so the fit is string algebra and knows no Jinja. Whether it is right is
proven elsewhere: `agrees` compares texts, prompts and answers, and rows are verified as they are encoded.
"""

from __future__ import annotations

from typing import Any

from swift_core.templates.affixes import common_prefix, common_suffix
from swift_core.templates.chat import ChatForm, Message, Refused
from swift_core.templates.declaration import Thinking
from swift_core.templates.derive import Deriver

SYSTEM, THOUGHTS = "xsystemx", ("xthoughtax", "xthoughtbx")
ASKED, SAID = ("xaskedax", "xaskedbx"), ("xsaidax", "xsaidbx")


def fit(deriver: Deriver) -> dict[str, Any] | None:
    """The fields of a `Template` that writes what the chat template writes; None where none is found.

    Name, media, agent and source are not among them: renderings do not tell.
    """
    try:
        return _Fit(deriver).fields()
    except (Refused, _NoFit):
        return None


class _NoFit(Exception):
    """The renderings are not made of frames around words."""


class _Fit:
    """One fit. The texts it looks at: one round and two, the prompts, with a system text, with thoughts."""

    def __init__(self, deriver: Deriver):
        self.deriver, self.form = deriver, deriver.form
        self.one, self.two = self.form.text(_talk(1)), self.form.text(_talk(2))
        self.asked = _try(self.form, _talk(1)[:-1])
        self.prompts = [p for p in self.form.prompts(_talk(1)[:-1]) if p.startswith(self.before)]

    @property
    def before(self) -> str:
        """All up to the first question, and the question."""
        return _upto(self.one, ASKED[0])

    def fields(self) -> dict[str, Any]:
        """The declaration's fields."""
        opening = self.one.partition(ASKED[0])[0]
        ends = self._ends()
        user, between, start = self._user(opening, ends)
        fields: dict[str, Any] = {**ends, "start": start, "between": between}
        fields |= self._system(user, start)
        header, closing = self._header()
        fields |= {"user": user + "{query}" + closing, "assistant": header[len(closing) :]}
        fields |= self._answer(header)
        fields["trim"] = self._trim()
        fields["stop"] = tuple(s for s in self.form.stops if s not in (ends["end"], ends["last_end"]))
        return fields | self._default_system(fields)

    # -- ends and what stands between rounds ------------------------------------------------------------------
    def _ends(self) -> dict[str, str]:
        """end, last_end and after: what closes an answer, and what follows before the next round."""
        tail = self.two.partition(SAID[1])[2]
        middle = _between(self.two, SAID[0], ASKED[1])
        last = self.deriver.answer(_talk(2)).end
        end = self._inner_end(middle)
        if tail.startswith(last):
            behind = tail[len(last) :]
            after = _blank_start(common_prefix([behind, middle[len(end) :]]))
        else:  # the stop that opens the next turn ends an answer
            after, end = "", ""
        return {"end": end, "last_end": last, "after": after}

    def _inner_end(self, middle: str) -> str:
        """What ends an answer that another round follows: up to a stop, else how a question ends."""
        stops = [(middle.find(s), s) for s in self.form.stops if s in middle]
        if stops:
            at, stop = min(stops, key=lambda pair: (pair[0], -len(pair[1])))
            return middle[: at + len(stop)]
        closing = self._closing()
        return closing if closing.strip() and middle.startswith(closing) else ""

    def _closing(self) -> str:
        """What ends a question, as far as it stands in front of the header of an answer."""
        if not self.asked or not self.asked.startswith(self.before):
            return ""
        return common_prefix([self.asked[len(self.before) :], *self._leads()])

    def _user(self, opening: str, ends: dict[str, str]) -> tuple[str, str, str]:
        """How a question opens; what stands between rounds; what opens the conversation."""
        middle = _between(self.two, SAID[0], ASKED[1])
        middle = middle[len(ends["end"]) + len(ends["after"]) :]
        ways = [opening, middle]
        with_system = _try(self.form, [_system(SYSTEM), *_talk(1)])
        before = with_system and SYSTEM in with_system and with_system.find(SYSTEM) < with_system.find(ASKED[0])
        if before and not self._late():
            ways.append(_between(with_system, SYSTEM, ASKED[0]))
        user = common_suffix(ways)
        return user, middle[: len(middle) - len(user)], opening[: len(opening) - len(user)]

    # -- the system text ---------------------------------------------------------------------------------------
    def _late(self) -> bool:
        """Whether the system text stands before the last question, and not before the first."""
        text = _try(self.form, [_system(SYSTEM), *_talk(2)])
        return bool(text) and text.find(SYSTEM) > text.find(SAID[0])

    def _system(self, user: str, start: str) -> dict[str, Any]:
        text = _try(self.form, [_system(SYSTEM), *_talk(1)])
        if not text or SYSTEM not in text:
            return {}
        frame = text.partition(ASKED[0])[0].replace(SYSTEM, "{system}")
        if self._late():
            if not frame.startswith(start + user):
                raise _NoFit
            return {"late_system": frame[len(start + user) :]}
        if not frame.endswith(user):
            raise _NoFit
        skips = _try(self.form, [_system(""), *_talk(1)]) == self.one
        return {"system": frame[: len(frame) - len(user)], "skip_empty_system": skips}

    def _default_system(self, fields: dict[str, Any]) -> dict[str, str]:
        """The text that `start` holds where `system` holds the row's own."""
        before, _, behind = fields.get("system", "").partition("{system}")
        start = fields["start"]
        if not (before and behind and start.startswith(before) and start.endswith(behind)):
            return {}
        words = start[len(before) : len(start) - len(behind)]
        return {"start": "", "default_system": words} if words.strip() else {}

    def _trim(self) -> tuple[str, ...]:
        """The roles whose words lose their outer white space."""
        words = {"system": f"\n {SYSTEM} \n", "user": f"\n {ASKED[0]} \n", "assistant": f"\n {SAID[0]} \n"}
        messages = [{"role": role, "content": text} for role, text in words.items()]
        text = _try(self.form, messages) or _try(self.form, messages[1:]) or ""
        return tuple(role for role, padded in words.items() if padded.strip() in text and padded not in text)

    # -- the answer ----------------------------------------------------------------------------------------------
    def _leads(self) -> list[str]:
        """Everything that may stand between a question and the words of its answer."""
        leads = [p[len(self.before) :] for p in self.prompts]
        leads += [_between(self.one, ASKED[0], SAID[0]), _between(self.two, ASKED[0], SAID[0])]
        if self.form.key:
            leads += [_between(text, ASKED[0], SAID[0]) for text in self._with_thoughts() if text]
        return leads

    def _with_thoughts(self) -> tuple[str, str]:
        return _try(self.form, _talk(1, True)) or "", _try(self.form, _talk(2, True)) or ""

    def _header(self) -> tuple[str, str]:
        """What every answer and every prompt has behind the question, and the part that ends the question."""
        header = common_prefix(self._leads())
        return header, common_prefix([self._closing(), header])

    def _answer(self, header: str) -> dict[str, Any]:
        """The frame of answers, and how thoughts stand before them."""
        held = [p[len(self.before) + len(header) :] for p in self.prompts]
        lead = _between(self.one, ASKED[0], SAID[0])[len(header) :]
        prompted = max((h for h in held if lead.startswith(h)), key=len, default="")
        if not self.form.key and not any(held) and not prompted:
            return {"answer": lead + "{answer}"}
        return self._thinking(header, held, lead, prompted)

    def _thinking(self, header: str, held: list[str], lead: str, prompted: str) -> dict[str, Any]:
        one, two = self._with_thoughts()
        written = _between(one, ASKED[0], SAID[0])[len(header) :] if one else ""
        always = lead[len(prompted) :]
        if always and written.endswith(always):
            written, lead = written[: len(written) - len(always)], prompted
        else:
            always = ""
        facts: dict[str, Any] = {"empty": lead, "off": prompted}
        opening, shown, _ = written.partition(THOUGHTS[0])
        if shown:
            facts["write"] = written.replace(THOUGHTS[0], "{thought}")
            facts["on"] = max((h for h in held if opening.startswith(h)), key=len, default="")
        else:
            facts["on"] = next((h for h in held if not lead.startswith(h)), "")
            facts["write"] = facts["on"] + "{thought}" + "\n</think>\n\n"
        facts["default"] = bool(held) and held[0] == facts["on"]
        facts |= self._history(header, two, always)
        thinking = Thinking(**facts)
        if thinking.mistake():
            raise _NoFit
        return {"answer": always + "{answer}", "thinking": thinking}

    def _history(self, header: str, two: str, always: str) -> dict[str, Any]:
        """What stands before an earlier answer: with thoughts, where they stay, and where they go."""
        history = _between(self.two, ASKED[0], SAID[0])[len(header) :].removesuffix(always)
        if two and THOUGHTS[0] in two:
            return {"history": history, "keep": True}
        dropped = _between(two, ASKED[0], SAID[0])[len(header) :].removesuffix(always) if two else history
        return {"history": history, "dropped": None if dropped == history else dropped}


def _talk(rounds: int, thoughts: bool = False) -> list[Message]:
    messages: list[Message] = []
    for n in range(rounds):
        answer: Message = {"role": "assistant", "content": SAID[n]}
        if thoughts:
            answer["reasoning_content"] = THOUGHTS[n]
        messages += [{"role": "user", "content": ASKED[n]}, answer]
    return messages


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def _try(form: ChatForm, messages: list[Message]) -> str:
    try:
        return form.text(messages)
    except Refused:
        return ""


def _upto(text: str, word: str) -> str:
    before, mark, _ = text.partition(word)
    if not mark:
        raise _NoFit
    return before + mark


def _between(text: str, first: str, second: str) -> str:
    _, mark, rest = text.partition(first)
    inner, also, _ = rest.partition(second) if second else (rest, "x", "")
    if not (mark and also):
        raise _NoFit
    return inner


def _blank_start(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]
