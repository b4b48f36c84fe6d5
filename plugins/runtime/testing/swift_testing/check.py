"""`swift check`: a plugin's own tests, or, where it ships none, the contracts of what it registers."""

from __future__ import annotations

import json
import os
import tomllib
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError, did_you_mean

PACKAGE_VARIABLE = "SWIFT_CHECK_PACKAGE"
"""Tells `generic.py`, in the same process, whose components to check."""


def check_package(wanted: str) -> int:
    """Run the tests of an installed package, or of the plugin in a folder; prints a verdict, returns the exit code.

    SwiftError where there is no such plugin or no pytest.
    """
    folder = Path(wanted) if Path(wanted).is_dir() else None
    package = _name_in(folder) if folder else wanted
    entries = [e for e in Catalogue.installed().entries if _same(e.package, package)]
    if not entries:
        raise SwiftError(_nothing_to_check(package, folder))
    title = f"{entries[0].package} {entries[0].version}"
    tests = _tests_of(folder or editable_folder(entries[0].package))
    print(f"{title}: {tests or 'no tests of its own; the contracts of its components'}")
    return _run(title, tests, entries[0].package)


def _name_in(folder: Path) -> str:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise SwiftError(f"{folder} holds no pyproject.toml; it is not a plugin's folder.")
    name: str = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}).get("name", "")
    return name


def _nothing_to_check(package: str, folder: Path | None) -> str:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        if folder:
            return f"{package} is not installed: pip install -e {folder}"
        known = {e.package for e in Catalogue.installed().entries}
        return f"No package {package!r} is installed.{did_you_mean(package, known)}"
    return (
        f"{package} registers no component; its pyproject.toml needs an entry point in a group like swift_core.tuners."
    )


def _same(one: str, other: str) -> bool:
    return one.replace("_", "-").lower() == other.replace("_", "-").lower()


def editable_folder(package: str) -> Path | None:
    """The source folder of a package installed with `pip install -e`; None for any other."""
    said = json.loads(metadata.distribution(package).read_text("direct_url.json") or "{}")
    if not said.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(said["url"]).path))


def _tests_of(folder: Path | None) -> Path | None:
    tests = folder / "tests" if folder else None
    return tests if tests and tests.is_dir() else None


def _run(title: str, tests: Path | None, package: str) -> int:
    try:
        import pytest
    except ImportError:
        raise SwiftError("Checking a plugin needs pytest: pip install swift-testing") from None
    target = tests or Path(str(resources.files("swift_testing").joinpath("generic.py")))
    os.environ[PACKAGE_VARIABLE] = package
    tally = Tally()
    quiet = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-W", "ignore", "--rootdir", str(target.parent)]
    code = int(pytest.main([*quiet, str(target)], plugins=[tally]))
    print(f"{title}: {tally.verdict(code)}")
    return code


class Tally:
    """A pytest plugin that counts outcomes."""

    def __init__(self) -> None:
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count a test once: its call, or what kept it from being called."""
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1

    def verdict(self, code: int) -> str:
        """One line for the author."""
        passed, failed, skipped = self.counts.values()
        if failed or code not in (0, 5):
            return f"{failed} of {passed + failed} checks failed; what to do stands above."
        if not passed:
            return "nothing was checked; its tests folder holds no tests."
        return f"all {passed} checks passed{f', {skipped} skipped' if skipped else ''}."
