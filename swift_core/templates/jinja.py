"""A template as a Hugging Face chat template (https://huggingface.co/docs/transformers/chat_templating)."""

from __future__ import annotations

import json
from typing import Any

from swift_core.templates.declaration import Template, Thinking, named_tokens

COUNT = (
    "{%- set ns = namespace(last=-1, round=0) %}{%- for message in messages %}{%- if message['role'] == 'user' %}"
    "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
)
"""Finds the place of the last user turn; counts rounds later."""


def jinja(template: Template, tokenizer: Any = None) -> str:
    """A chat template that writes what `spans_of` writes, answers inside `{% generation %}`.

    It takes `add_generation_prompt`, `enable_thinking` and `preserve_thinking`; tools it refuses, since how
    they are written is the agent's. tokenizer: needed where the template names tokens by number; with it,
    `auto_bos` is written too.
    """
    return _Jinja(template, tokenizer).text()


class _Jinja:
    def __init__(self, template: Template, tokenizer: Any):
        self.template, self.tokenizer = template, tokenizer

    def text(self) -> str:
        """The whole template."""
        opening = self.template.opening(self.tokenizer) if self.tokenizer is not None else ""
        return (
            "{%- if tools %}" + _raise("This chat template does not write tools.") + "{%- endif %}"
            + self.out(opening)
            + self._system()
            + COUNT
            + self._refuse_rounds()
            + "{%- for message in messages %}"
            + "{%- if message['role'] == 'user' %}" + self._user()
            + "{%- elif message['role'] == 'tool' %}" + self._tool()
            + "{%- elif message['role'] == 'assistant' %}" + self._assistant()
            + "{%- endif %}{%- endfor %}"
            + "{%- if add_generation_prompt %}" + self._prompt() + "{%- endif %}"
        )  # fmt: skip

    def out(self, text: str) -> str:
        """Jinja that prints a text of the template, special tokens by name."""
        out = ""
        for piece in named_tokens(self.template, text, self.tokenizer):
            out += "{{- " + (f"{piece[1:-1]}_token" if piece in ("{bos}", "{eos}") else quoted(piece)) + " }}"
        return out

    def around(self, text: str, name: str, expression: str) -> str:
        """The template's text with an expression's value at its placeholder."""
        before, _, behind = text.partition("{" + name + "}")
        return self.out(before) + "{{- " + expression + " }}" + self.out(behind)

    def content(self, role: str) -> str:
        """The expression of a message's text."""
        return "message['content']" + (" | trim" if role in self.template.trim else "")

    def _system(self) -> str:
        t = self.template
        trim = " | trim" if "system" in t.trim else ""
        text = (
            "{%- set system = none %}{%- if messages and messages[0]['role'] == 'system' %}"
            "{%- set system = messages[0]['content']" + trim + " %}{%- set messages = messages[1:] %}{%- endif %}"
        )
        if t.skip_empty_system:
            text += "{%- if not (system or '') | trim %}{%- set system = none %}{%- endif %}"
        if t.default_system:
            text += "{%- if system is none %}{%- set system = " + quoted(t.default_system) + " %}{%- endif %}"
        if not (t.system or t.late_system):
            text += "{%- if system %}" + _raise("This model takes no system message.") + "{%- endif %}"
        return text + self._if_thinks(self._opening(True), self._opening(False))

    def _opening(self, thinks: bool) -> str:
        """What stands before the first turn; the variable `system` holds the system text or none."""
        start, shape = self.out(self.template.start_for(thinks)), self.template.system_for(thinks)
        if not shape:
            return start
        written = self.around(shape, "system", "system")
        return "{%- if system is none %}" + start + "{%- else %}" + written + "{%- endif %}"

    def _if_thinks(self, on: str, off: str) -> str:
        """One of two pieces of Jinja, by `enable_thinking` or what the template does when nobody says."""
        if on == off:
            return on
        default = self.template.thinking is not None and self.template.thinking.default
        condition = "enable_thinking is not false" if default else "enable_thinking is true"
        return "{%- if " + condition + " %}" + on + "{%- else %}" + off + "{%- endif %}"

    def _refuse_rounds(self) -> str:
        if not self.template.single:
            return ""
        users = "messages | selectattr('role', 'equalto', 'user') | list | length"
        return "{%- if (" + users + ") > 1 %}" + _raise("This model knows a single round.") + "{%- endif %}"

    def _between(self) -> str:
        between = self.out(self.template.between)
        return "{%- if not loop.first %}" + between + "{%- endif %}" if between else ""

    def _user(self) -> str:
        t = self.template
        before, _, behind = t.user.partition("{query}")
        late = ""
        if t.late_system:
            written = self.around(t.late_system, "system", "system")
            late = "{%- if system and loop.index0 == ns.last %}" + written + "{%- endif %}"
        said = "{{- " + self.content("user") + " }}" + self._off_query()
        counted = "{%- set ns.round = ns.round + 1 %}" if "{round" in t.user else ""
        return counted + self._between() + self._opened(before) + late + said + self._numbered(behind)

    def _opened(self, text: str) -> str:
        """How a turn opens; a stop word there is generated where the answer before it has no end of its own."""
        stop = "" if self.template.end else next((w for w in self.template.stop if text.startswith(w)), "")
        if not stop:
            return self._numbered(text)
        ended = "{%- generation %}" + self.out(stop) + "{%- endgeneration %}"
        first = "{%- if loop.first %}" + self.out(stop) + "{%- else %}" + ended + "{%- endif %}"
        return first + self._numbered(text[len(stop) :])

    def _numbered(self, text: str) -> str:
        """A text of the user turn with the number of the round."""
        before, mark, behind = text.partition("{round}")
        if mark:
            return self.out(before) + "{{- ns.round }}" + self.out(behind)
        before, mark, behind = text.partition("{round0}")
        return self.out(before) + ("{{- ns.round - 1 }}" if mark else "") + self.out(behind)

    def _off_query(self) -> str:
        mark = self.template.thinking.off_query if self.template.thinking else ""
        if not mark:
            return ""
        missing = "not (" + self.content("user") + ").endswith(" + quoted(mark) + ")"
        return "{%- if enable_thinking is false and " + missing + " %}" + self.out(mark) + "{%- endif %}"

    def _tool(self) -> str:
        before, _, behind = (self.template.tool or self.template.user).partition("{query}")
        return self._between() + self._opened(before) + "{{- message['content'] }}" + self._numbered(behind)

    def _assistant(self) -> str:
        t = self.template
        if t.thinking is None:
            lead, said = self.out(t.assistant), self.around(t.answer, "answer", self.content("assistant"))
        else:
            lead, said = self._thoughts(t.thinking)
        return lead + "{%- generation %}" + said + self._end() + "{%- endgeneration %}" + self.out(t.after)

    def _end(self) -> str:
        inner, final = self.out(self.template.end), self.out(self.template.final_end)
        return inner if inner == final else "{%- if loop.last %}" + final + "{%- else %}" + inner + "{%- endif %}"

    def _thoughts(self, thinking: Thinking) -> tuple[str, str]:
        """What precedes an answer's generation block, and what stands in it, up to its end."""
        split = (
            "{%- set content = " + self.content("assistant") + " %}{%- set thought = '' %}"
            "{%- if message['reasoning_content'] %}{%- set thought = message['reasoning_content'].strip('\\n') %}"
            "{%- set content = content.lstrip('\\n') %}"
            "{%- else %}" + self._mark(thinking) + "{%- if mark and mark in body %}"
            "{%- set thought, content = body.split(mark, 1) %}{%- set thought = thought.strip('\\n') %}"
            "{%- set content = content.lstrip('\\n') %}{%- endif %}{%- endif %}"
        )
        keep = "preserve_thinking is not false" if thinking.keep else "preserve_thinking is true"
        opening, _, closing = thinking.write.partition("{thought}")
        thought = "{{- thought | trim }}" if "assistant" in self.template.trim else "{{- thought }}"
        written = self.out(opening[len(thinking.on) :]) + thought + self.out(closing)
        off = thinking.prompt_off
        current = "{%- set current = " + keep + " or loop.index0 > ns.last %}"
        lead = self._branches(self.out(thinking.on), self.out(off), self._earlier(thinking))
        said = self._branches(written, self.out(thinking.empty[len(off) :]), "")
        answer = self.around(self.template.answer, "answer", "content")
        return split + current + self.out(self.template.assistant) + lead, said + answer

    def _mark(self, thinking: Thinking) -> str:
        """Sets `mark`, which ends the thoughts in `body`; the same as `split_thought`."""
        opened = quoted("\n</think>\n\n" if "<think>" in thinking.on else "")
        return (
            "{%- if content.lstrip().startswith('<think>') %}{%- set body = content.lstrip()[7:] %}"
            "{%- set mark = '\\n</think>\\n' if body.startswith('\\n') and '\\n</think>\\n' in body else '</think>' %}"
            "{%- else %}{%- set body = content %}{%- set mark = " + opened + " %}{%- endif %}"
        )

    def _earlier(self, thinking: Thinking) -> str:
        """What stands before an earlier answer, by whether it had thoughts."""
        plain, dropped = self.out(thinking.history), self.out(thinking.earlier("some"))
        return plain if plain == dropped else "{%- if thought %}" + dropped + "{%- else %}" + plain + "{%- endif %}"

    def _branches(self, thought: str, empty: str, history: str) -> str:
        """One of three texts: for a current answer with thoughts, one without, and an earlier one."""
        inner = "{%- if thought %}" + thought + "{%- else %}" + empty + "{%- endif %}" if thought or empty else ""
        if not inner and not history:
            return ""
        otherwise = "{%- else %}" + history if history else ""
        return "{%- if current %}" + inner + otherwise + "{%- endif %}"

    def _prompt(self) -> str:
        t = self.template
        return self.out(t.assistant) + self._if_thinks(self.out(t.prompt_on), self.out(t.prompt_off))


def quoted(text: str) -> str:
    """`text` as a string of Jinja."""
    return json.dumps(text, ensure_ascii=False)


def _raise(message: str) -> str:
    return "{{- raise_exception(" + quoted(message) + ") }}"
