"""The tests that need a device: `python -m benchmarks.gpu.tested cuda|cpu`. The last line says what came of them."""

from __future__ import annotations

import collections
import json
import os
import sys
from typing import Any

import pytest

TESTS = ("tests/test_cuda.py", "plugins/patchers/liger/tests/test_liger_on_gpu.py")


class Count:
    """A plugin of pytest that counts outcomes, and keeps the reasons of tests that did not run."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.reasons: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Each test once, by its call, or by what kept it from being called."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1
        if report.skipped:
            self.reasons.append(f"{report.nodeid.partition('::')[2]}: {report.longrepr[2].removeprefix('Skipped: ')}")

    def result(self) -> str:
        """`9 passed, 1 skipped (name: reason)`."""
        told = ", ".join(f"{count} {name}" for name, count in self.outcomes.items())
        return told + (f" ({'; '.join(self.reasons)})" if self.reasons else "")


def main(device: str) -> int:
    """The exit code of pytest."""
    os.environ["SWIFT_TEST_DEVICE"] = device
    count = Count()
    code = pytest.main([*TESTS, "-x", "--maxfail=100"], plugins=[count])
    print("\n" + json.dumps({"result": count.result()}), flush=True)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
