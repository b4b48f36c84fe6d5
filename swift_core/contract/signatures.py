"""Whether a component's hooks fit the contract: hooks that exist, with arguments that their specs give."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from swift_core.contract import hooks
from swift_core.contract.errors import did_you_mean
from swift_core.contract.hooks import hookimpl
from swift_core.contract.kinds import KINDS

_SPEC_MARK = "swift_core_spec"
_IMPL_MARK = f"{hookimpl.project_name}_impl"


def hook_specs() -> dict[str, inspect.Signature]:
    """Every hook of the contract with its signature, in the order data flows."""
    specs = {n: f for n, f in vars(hooks).items() if hasattr(f, _SPEC_MARK)}
    return {name: inspect.signature(function) for name, function in specs.items()}


def implementations(component: Any) -> dict[str, Callable[..., Any]]:
    """The hooks that a component's class implements, by name."""
    owner = component if isinstance(component, type) else type(component)
    functions = {name: inspect.getattr_static(owner, name) for name in marked(owner)}
    return {getattr(f, _IMPL_MARK).get("specname") or name: f for name, f in functions.items()}


@functools.cache
def marked(owner: type) -> tuple[str, ...]:
    """The names of a class's attributes that implement hooks, which need not be the hooks' names."""
    return tuple(n for n in dir(owner) if getattr(inspect.getattr_static(owner, n), _IMPL_MARK, None))


def broken_hooks(component: Any, kind: str) -> list[str]:
    """One line for each implementation of a hook that does not exist or is another kind's, or with a wrong argument."""
    owner = component if isinstance(component, type) else type(component)
    strange = [h for h in implementations(owner) if h not in KINDS[kind].hooks]
    return _broken_hooks(owner) or [_of_another_kind(hook, kind) for hook in strange]


def _of_another_kind(hook: str, kind: str) -> str:
    """What is wrong with a hook that the job would never call on a component of this kind."""
    owners = [k for k in KINDS.values() if hook in k.hooks]
    named = " or ".join(f"{k.name} (entry-point group {k.group}, option --{k.name})" for k in owners)
    return f"implements hook {hook!r}, which no {kind} has; it is a hook of the kind {named}."


@functools.cache
def _broken_hooks(owner: type) -> list[str]:
    specs = hook_specs()
    lines = []
    for name, function in implementations(owner).items():
        if name not in specs:
            lines.append(f"implements a hook {name!r} that does not exist.{did_you_mean(name, specs)}")
        else:
            lines += _wrong_arguments(name, function, specs[name])
    return lines


def _wrong_arguments(name: str, function: Callable[..., Any], spec: inspect.Signature) -> list[str]:
    asked = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    return [
        f"implements hook {name!r} with an argument {word!r} that the hook does not give."
        f"{did_you_mean(word, spec.parameters)} It gives: {', '.join(spec.parameters)}."
        for word in asked[1:]  # the first is self
        if word not in spec.parameters
    ]
