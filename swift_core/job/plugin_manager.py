"""The plugin manager of a job, and how a hook is called directly where it is asked for every turn of every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

from swift_core.contract.signatures import marked


class Components(pluggy.PluginManager):
    """pluggy's manager, which looks for the hooks of a class once and not at each registration.

    pluggy looks at every attribute of every component, and takes longer for a job's dozen of them than the rest of
    its preparation.
    """

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """pluggy's: how an attribute of a component implements a hook; None where it does not."""
        owner: Any = type(plugin)
        if name not in marked(owner) and name not in getattr(plugin, "__dict__", ()):
            return None
        return super().parse_hookimpl_opts(plugin, name)


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
