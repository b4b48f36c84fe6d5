"""The checks that hold for every component, and what the contracts of the kinds share."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from swift_core.catalogue.entries import Catalogue, Entry, summary_of
from swift_core.contract.capability import Experimental, Supported, Unsupported
from swift_core.contract.components import Component, declared
from swift_core.contract.declarations import strange_attributes
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.kinds import KINDS
from swift_core.contract.signatures import implementations
from swift_core.job.options import Given, describe_options, json_schema
from swift_core.job.prepare import prepare

HEAVY = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "modelscope", "matplotlib", "vllm")
"""Libraries that cost seconds to import. A plugin's module must not: `swift list` and `--help` load it."""

CHAT = [
    {"messages": [{"role": "user", "content": "What is in the picture?"}, {"role": "assistant", "content": "A cat."}]},
    {"messages": [{"role": "user", "content": "What is 1 + 2?"}, {"role": "assistant", "content": "The answer is 3."}]},
]
"""Two rows that every training method of conversations can learn."""


class ComponentContract:
    """What every component keeps. Contracts of the kinds inherit it.

    name: the component's name, as the entry point says it. options: values of its options for these tests;
    name here what it cannot do without.
    """

    kind = ""
    name = ""
    options: dict[str, Any] = {}

    generic = False
    """Set by `swift check` for a package without tests: facts that only its author knows are not asked for."""

    @property
    def entry(self) -> Entry:
        """The installed component; the test fails where there is none."""
        assert self.name, f'Say which component {type(self).__name__} tests: name = "…" in the class.'
        try:
            return catalogue().find(self.kind, self.name)
        except SwiftError as error:
            hint = f'Is it under [project.entry-points."{KINDS[self.kind].group}"], and did you pip install -e . since?'
            pytest.fail(f"{error} {hint}")

    @property
    def component(self) -> Any:
        """The class (or ready instance) behind the entry point."""
        return self.entry.load()

    def fact(self, name: str, how: str) -> Any:
        """A class attribute that only the author can give; the test fails, saying how, where it is missing."""
        value = getattr(self, name)
        if not value and self.generic:
            pytest.skip(f"needs {name}, which only the plugin's own test can say")
        assert value, f"Say `{name} = …` in {type(self).__name__}: {how}"
        return value

    def choice(self) -> dict[str, Any]:
        """The options by which a job chooses this component."""
        return {self.kind: self.name}

    def job(self, command: str = "train", **options: Any) -> Job:
        """A prepared job with this component, on the CPU; its model has no weights unless `model` is given.

        An option that is None is left out.
        """
        values = {"model": bare_model(), "device": "cpu", **self.choice(), **self.options, **options}
        return prepare(command, [Given(k, v, "test") for k, v in values.items() if v is not None], catalogue())

    # -- every component ----------------------------------------------------------------------------------
    def test_loads_and_keeps_the_contract(self) -> None:
        """It imports, declares `swift_api`, and its hooks exist with the arguments that their specs give."""
        self.entry.load()

    def test_implements_hooks_of_its_kind_alone(self) -> None:
        """A hook of another kind would run in jobs that never asked for it."""
        allowed = KINDS[self.kind].hooks
        strange = [h for h in implementations(self.component) if h not in allowed]
        assert not strange, f"A {self.kind} has no hook {strange[0]!r}; its hooks are {', '.join(allowed)}."

    def test_declares_what_the_contract_knows(self) -> None:
        """An attribute that nothing reads is a misspelt one, or an option without its type."""
        strange = strange_attributes(self.component, self.kind)
        assert not strange, f"{self.name} {strange[0]}"

    def test_says_what_it_is(self) -> None:
        """The first line of its docstring, or its `summary`, stands in lists and help texts."""
        line = summary_of(self.component)
        assert line, f"Give {self.name} a docstring whose first line says what it is."
        assert len(line) <= 120, f"The first line of {self.name}'s docstring has {len(line)} characters; 120 fit."

    def test_every_option_has_help_and_a_type(self) -> None:
        """Options appear in --help, YAML, forms and the reference by themselves: each must explain itself."""
        if not isinstance(self.component, type):
            return  # a card or a template has facts, not options
        for info in describe_options(self.component):
            assert info.help, f'Option {info.name} explains nothing: option(default, "what it does, with its unit").'
        assert self._schema(), f"{self.name} has no schema of options; is it a dataclass?"

    def _schema(self) -> dict[str, Any]:
        try:
            return json_schema(self.component)
        except Exception as error:  # pydantic refuses types in many ways
            pytest.fail(f"The options of {self.name} have types that pydantic cannot read: {error}")

    def test_capabilities_are_answers(self) -> None:
        """`capabilities` maps a feature to Supported, Unsupported or Experimental, with a reason or note."""
        for feature, answer in declared(self.component, Component, "capabilities").items():
            right = isinstance(answer, Supported | Unsupported | Experimental)
            assert right, f"capabilities[{feature!r}] must be Supported(), Unsupported(reason) or Experimental(note)."
            reason = answer.reason if isinstance(answer, Unsupported) else answer.note
            assert reason or isinstance(answer, Supported), f"Say why: capabilities[{feature!r}] has no reason."

    def test_is_imported_without_torch(self) -> None:
        """Lists, help texts and `swift explain` import the plugin's module; they must answer at once."""
        module = self.entry.target.partition(":")[0]
        heavy = imported_with(module, HEAVY)
        assert not heavy, (
            f"Importing {module} imports {', '.join(heavy)}. Import them inside the hooks that use them, "
            "or put the code into a second module that a hook imports."
        )


def contract_of(kind: str) -> type[ComponentContract]:
    """The contract class of a kind: TunerContract for `tuner`."""
    import swift_testing as kit

    name = {"bbox": "Box", "loss_scale": "LossScale"}.get(kind, kind.capitalize()) + "Contract"
    return getattr(kit, name)


@functools.cache
def catalogue() -> Catalogue:
    """What is installed, read once for all tests of a run."""
    return Catalogue.installed()


@functools.cache
def imported_with(module: str, names: tuple[str, ...]) -> list[str]:
    """Which of `names` a fresh interpreter has imported after importing `module`."""
    code = f"import {module}, sys, json; print(json.dumps([n for n in {names!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, f"`import {module}` fails in a fresh interpreter: {done.stderr.strip()[-500:]}"
    return json.loads(done.stdout.strip().splitlines()[-1])


@functools.cache
def tiny_model(family: str) -> str:
    """The folder of a tiny checkpoint (qwen2, llama or qwen2_vl), written once and deleted at the end."""
    from swift_testing import tiny

    return str(getattr(tiny, f"tiny_{family}")(_folder()))


@functools.cache
def bare_model() -> str:
    """A folder with the config of a Qwen2 model and no weights: enough to prepare a job without torch."""
    folder = _folder()
    Path(folder, "config.json").write_text(
        '{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}', encoding="utf-8"
    )
    return folder


_FOLDERS: list[Any] = []


def _folder() -> str:
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="swift-test-"))
    return str(_FOLDERS[-1].name)


def write_rows(folder: str | Path, rows: Iterable[dict[str, Any]], name: str = "rows.jsonl") -> str:
    """Rows as a JSONL file; returns its path."""
    file = Path(folder, name)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)
