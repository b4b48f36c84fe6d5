"""A template in Ollama's Go form (https://pkg.go.dev/text/template, https://docs.ollama.com/modelfile)."""

from __future__ import annotations

import json
from typing import Any

from swift_core.templates.declaration import Template, named_tokens
from swift_core.templates.ollama_tools import ListForm, ToolForm


def ollama(
    template: Template,
    bos: str = "",
    eos: str = "",
    tokenizer: Any = None,
    adds_bos: bool = True,
    tools: ToolForm | None = None,
) -> str:
    """Ollama's TEMPLATE over .System and .Messages, up to the header of the next answer.

    bos, eos: the tokenizer's tokens as text. adds_bos: Ollama puts the bos before the prompt itself, as the tokenizer
    does, so the text that opens a conversation is written without it. System messages stand in
    .Messages too and are passed over. Thoughts are in .Thinking, apart from .Content. Go knows no trimming: texts are
    written as they come.
    tokenizer: needed where the template names tokens by number.
    tools: how the job's agent format writes .Tools and .ToolCalls; None: they are not written.
    """
    return _Go(template, bos, eos, tokenizer, adds_bos, tools).text()


class _Go:
    def __init__(self, template: Template, bos: str, eos: str, tokenizer: Any, adds_bos: bool, tools: ToolForm | None):
        self.template, self.tokenizer, self.adds_bos, self.tools = template, tokenizer, adds_bos, tools
        self.names = {"{bos}": bos, "{eos}": eos}

    def text(self) -> str:
        """The whole template."""
        t = self.template
        counted = "{round" in t.user
        return (
            self._system()
            + ('{{ $round := "" }}' if counted else "")
            + ("{{ $first := true }}" if t.between else "")
            + ("{{ $last := -1 }}" + LAST if t.thinking or t.late_system else "")
            + ("{{ $results := false }}" if self.tools else "")
            + "{{ range $i, $m := .Messages }}" + self._closed_results('ne .Role "tool"') + '{{ if eq .Role "user" }}'
            + ('{{ $round = printf "%s." $round }}' if counted else "")
            + self._user()
            + '{{ else if eq .Role "tool" }}' + self._result()
            + '{{ else if eq .Role "assistant" }}' + self._assistant()
            + "{{ end }}{{ end }}"
            + self._closed_results()
            + self._prompt()
        )  # fmt: skip

    def out(self, text: str) -> str:
        """Go template text that prints `text`; with braces, which may mean an action, as a quoted string."""
        text = "".join(self.names.get(p, p) for p in named_tokens(self.template, text, self.tokenizer))
        return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if "{" in text else text

    def around(self, text: str, name: str, expression: str) -> str:
        """The template's text with a value at its placeholder."""
        before, _, behind = text.partition("{" + name + "}")
        return self.out(before) + "{{ " + expression + " }}" + self.out(behind)

    def _system(self) -> str:
        plain = self._if_thinks(self._opening(True), self._opening(False))
        if not self.tools or not (self.template.tools or self.template.system):
            return plain
        offered = self._if_thinks(self._offering(True, self.tools), self._offering(False, self.tools))
        return "{{ if .Tools }}" + offered + "{{ else }}" + plain + "{{ end }}"

    def _offering(self, thinks: bool, form: ToolForm) -> str:
        """The opening of a conversation with tools."""
        t = self.template
        before, _, behind = self._behind_bos(t.tools or t.system_for(thinks)).partition("{system}")
        said = "{{ .System }}" + self.out(form.apart)
        default = "{{ else }}" + self.out(t.default_system + form.apart) if t.default_system else ""
        tool = "{{ $tool }}" if form.whole else "{{ $tool.Function }}"
        offered = self._each("$tool", ".Tools", form.tools, tool)
        return self.out(before) + "{{ if .System }}" + said + default + "{{ end }}" + offered + self.out(behind)

    def _each(self, name: str, values: str, form: ListForm, one: str) -> str:
        """Every value of a list. name: of the variable that holds one. one: what is printed for it.

        What stands between values is printed by an action: Ollama takes the first plain text for the mark of a call.
        """
        between = "{{ if $n }}" + _printed(form.between) + "{{ end }}" if form.between else ""
        ranged = "{{ range $n, " + name + " := " + values + " }}" + between + one + "{{ end }}"
        return self.out(form.before) + ranged + self.out(form.behind)

    def _calls(self) -> str:
        """The calls of an answer, behind its words."""
        if not self.tools:
            return ""
        form, (before, between, behind) = self.tools, self.tools.call
        one = _plain(before) + "{{ $call.Function.Name }}" + _plain(between)
        one += "{{ $call.Function.Arguments }}" + _plain(behind)
        gap = "{{ if .Content }}" + _printed(form.gap) + "{{ end }}" if form.gap else ""
        return "{{ if .ToolCalls }}" + gap + self._each("$call", ".ToolCalls", form.calls, one) + "{{ end }}"

    def _result(self) -> str:
        """One tool message: neighbouring ones share a turn, which `_closed_results` closes."""
        before, _, behind = (self.template.tool or self.template.user).partition("{query}")
        if not self.tools:
            return self._between() + self.out(before) + "{{ .Content }}" + self.out(behind)
        form = self.tools.results
        opened = self._between() + self.out(before + form.before)
        more = "{{ if $results }}" + self.out(form.between) + "{{ else }}" + opened + "{{ end }}"
        return more + "{{ $results = true }}{{ .Content }}"

    def _closed_results(self, condition: str = "") -> str:
        """The end of a turn of tool results, where one is open and the condition holds."""
        if not self.tools:
            return ""
        behind = (self.template.tool or self.template.user).partition("{query}")[2]
        met = f"and $results ({condition})" if condition else "$results"
        return "{{ if " + met + " }}" + self.out(self.tools.results.behind + behind) + "{{ $results = false }}{{ end }}"

    def _opening(self, thinks: bool) -> str:
        t = self.template
        start, system = self._behind_bos(t.start_for(thinks)), self._behind_bos(t.system_for(thinks))
        if not system:
            return self.out(start)
        if t.default_system:
            start = system.replace("{system}", t.default_system)
        written = self.around(system, "system", ".System")
        return "{{ if .System }}" + written + "{{ else }}" + self.out(start) + "{{ end }}"

    def _if_thinks(self, on: str, off: str) -> str:
        """One of two pieces of the form, by .Think or what the template does when nobody says."""
        if on == off:
            return on
        default = self.template.thinking is not None and self.template.thinking.default
        condition = "or (not $.IsThinkSet) $.Think" if default else "$.Think"
        return "{{ if " + condition + " }}" + on + "{{ else }}" + off + "{{ end }}"

    def _behind_bos(self, text: str) -> str:
        if not self.adds_bos:
            return text
        text = text.removeprefix("{bos}")
        return text.removeprefix(self.names["{bos}"]) if self.names["{bos}"] else text

    def _between(self) -> str:
        between = self.out(self.template.between)
        return "{{ if $first }}{{ $first = false }}{{ else }}" + between + "{{ end }}" if between else ""

    def _user(self) -> str:
        t = self.template
        before, _, behind = t.user.partition("{query}")
        late = ""
        if t.late_system:
            system = self.around(t.late_system, "system", "$.System")
            default = self.out(t.late_system.replace("{system}", t.default_system)) if t.default_system else ""
            chosen = "{{ if $.System }}" + system + "{{ else }}" + default + "{{ end }}"
            late = "{{ if eq $i $last }}" + chosen + "{{ end }}"
        said = "{{ .Content }}" + self._off_query()
        return self._between() + self._numbered(before) + late + said + self._numbered(behind)

    def _numbered(self, text: str) -> str:
        """A text of the user turn with the number of the round: Go templates cannot add, so a text is measured."""
        before, mark, behind = text.partition("{round}")
        if mark:
            return self.out(before) + "{{ len $round }}" + self.out(behind)
        before, mark, behind = text.partition("{round0}")
        return self.out(before) + ("{{ len (slice $round 1) }}" if mark else "") + self.out(behind)

    def _off_query(self) -> str:
        mark = self.template.thinking.off_query if self.template.thinking else ""
        return "{{ if and $.IsThinkSet (not $.Think) }}" + self.out(mark) + "{{ end }}" if mark else ""

    def _assistant(self) -> str:
        t = self.template
        answer = self._said() + self.out(t.end) + self.out(t.after)
        if t.thinking is None:
            return self.out(t.assistant) + answer
        written = self.around(t.thinking.write, "thought", ".Thinking")
        current = "{{ if .Thinking }}" + written + "{{ else }}" + self.out(t.thinking.empty) + "{{ end }}"
        if not t.thinking.keep:
            plain, dropped = self.out(t.thinking.history), self.out(t.thinking.earlier("some"))
            earlier = plain if plain == dropped else "{{ if .Thinking }}" + dropped + "{{ else }}" + plain + "{{ end }}"
            current = "{{ if gt $i $last }}" + current + "{{ else }}" + earlier + "{{ end }}"
        return self.out(t.assistant) + current + answer

    def _said(self) -> str:
        """The words of an answer and its calls."""
        before, _, behind = self.template.answer.partition("{answer}")
        words = self.out(before) + "{{ .Content }}"
        if self.tools and self.tools.beside:
            return "{{ if .Content }}" + words + self.out(behind) + "{{ end }}" + self._calls()
        return words + self._calls() + self.out(behind)

    def _prompt(self) -> str:
        t = self.template
        return self.out(t.assistant) + self._if_thinks(self.out(t.prompt_on), self.out(t.prompt_off))


def _printed(text: str) -> str:
    """An action that prints the text."""
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}"


def _plain(text: str) -> str:
    """The text as it is, save where Go would read an action in it."""
    return _printed(text) if "{{" in text or text.endswith("{") else text


LAST = '{{ range $i, $m := .Messages }}{{ if eq .Role "user" }}{{ $last = $i }}{{ end }}{{ end }}'
"""Finds the place of the last user turn."""
