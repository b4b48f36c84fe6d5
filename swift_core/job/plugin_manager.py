"""Calling a hook directly, where it is asked for every turn of every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def direct(caller: Any) -> Callable[..., Any]:
    """A `firstresult` hook without the plugin manager's bookkeeping, where one plain function is all that answers it.

    Takes keyword arguments only, as every hook does. What registers later is not asked.
    """
    implementations = caller.get_hookimpls()
    if len(implementations) != 1 or implementations[0].wrapper or implementations[0].hookwrapper:
        relayed: Callable[..., Any] = caller
        return relayed
    function, names = implementations[0].function, implementations[0].argnames

    def call(**arguments: Any) -> Any:
        return function(*map(arguments.__getitem__, names))

    return call
