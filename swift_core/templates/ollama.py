"""A template in Ollama's Go form (https://pkg.go.dev/text/template, https://docs.ollama.com/modelfile)."""

from __future__ import annotations

import json
from typing import Any

from swift_core.templates.declaration import Template, named_tokens


def ollama(template: Template, bos: str = "", eos: str = "", tokenizer: Any = None, adds_bos: bool = True) -> str:
    """Ollama's TEMPLATE over .System and .Messages, up to the header of the next answer.

    bos, eos: the tokenizer's tokens as text. adds_bos: Ollama puts the bos before the prompt itself, as the tokenizer
    does, so the text that opens a conversation is written without it. System messages stand in
    .Messages too and are passed over. Thoughts are in .Thinking, apart from .Content. Go knows no trimming: texts are
    written as they come.
    tokenizer: needed where the template names tokens by number.
    """
    return _Go(template, bos, eos, tokenizer, adds_bos).text()


class _Go:
    def __init__(self, template: Template, bos: str, eos: str, tokenizer: Any, adds_bos: bool):
        self.template, self.tokenizer, self.adds_bos = template, tokenizer, adds_bos
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
            + '{{ range $i, $m := .Messages }}{{ if eq .Role "user" }}'
            + ('{{ $round = printf "%s." $round }}' if counted else "")
            + self._user()
            + '{{ else if eq .Role "tool" }}' + self._between() + self.around(t.tool or t.user, "query", ".Content")
            + '{{ else if eq .Role "assistant" }}' + self._assistant()
            + "{{ end }}{{ end }}"
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
        return self._if_thinks(self._opening(True), self._opening(False))

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
        answer = self.around(t.answer, "answer", ".Content") + self.out(t.end) + self.out(t.after)
        if t.thinking is None:
            return self.out(t.assistant) + answer
        written = self.around(t.thinking.write, "thought", ".Thinking")
        current = "{{ if .Thinking }}" + written + "{{ else }}" + self.out(t.thinking.empty) + "{{ end }}"
        if not t.thinking.keep:
            plain, dropped = self.out(t.thinking.history), self.out(t.thinking.earlier("some"))
            earlier = plain if plain == dropped else "{{ if .Thinking }}" + dropped + "{{ else }}" + plain + "{{ end }}"
            current = "{{ if gt $i $last }}" + current + "{{ else }}" + earlier + "{{ end }}"
        return self.out(t.assistant) + current + answer

    def _prompt(self) -> str:
        t = self.template
        return self.out(t.assistant) + self._if_thinks(self.out(t.prompt_on), self.out(t.prompt_off))


LAST = '{{ range $i, $m := .Messages }}{{ if eq .Role "user" }}{{ $last = $i }}{{ end }}{{ end }}'
"""Finds the place of the last user turn."""
