"""The level `template`: every check of the template contract, on each template that the cards name."""

from __future__ import annotations

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError

GROUP = 8
"""Templates that one child checks."""


def check_all(names: list[str], jobs: int) -> dict[str, str]:
    """Template → what is wrong with it; empty where nothing is."""
    from swift_testing.conformance.runner import each

    groups = [names[n : n + GROUP] for n in range(0, len(names), GROUP)]
    faults: dict[str, str] = {}
    for group, results in each(lambda g: {n: check_template(n) for n in g}, groups, jobs):
        faults |= dict.fromkeys(group, results["failed"]) if "failed" in results else results
    return faults


def check_template(name: str) -> str:
    """The first check of the contract that fails, with its message; empty where all hold."""
    import pytest

    from swift_testing import TemplateContract

    try:
        Catalogue.installed().find("template", name)
    except SwiftError as error:
        return str(error)
    contract = type("Contract", (TemplateContract,), {"name": name})()
    for check in sorted(c for c in dir(contract) if c.startswith("test_")):
        try:
            getattr(contract, check)()
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception) as error:
            return f"{check}: {' '.join(str(error).split())[:200]}"
    return ""
