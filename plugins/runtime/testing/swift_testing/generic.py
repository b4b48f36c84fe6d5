"""Contract tests of a package that ships none: one class per component. Run by `swift check`."""

from __future__ import annotations

import os

from swift_testing.check import PACKAGE_VARIABLE
from swift_testing.contracts import ComponentContract, catalogue, contract_of


def _class_for(kind: str, name: str) -> type[ComponentContract]:
    return type(f"Test_{kind}_{name}", (contract_of(kind),), {"name": name, "generic": True, "__module__": __name__})


for _entry in catalogue().entries:
    if _entry.package == os.environ.get(PACKAGE_VARIABLE):
        _made = _class_for(_entry.kind, f"{_entry.name}@{_entry.package}")
        globals()[_made.__name__] = _made
