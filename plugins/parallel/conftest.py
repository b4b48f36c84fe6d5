"""Two processes, and four, for the tests of every strategy: each of them imports torch once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from swift_testing.libraries import let_torchvision_import
from swift_testing.processes import Processes

let_torchvision_import()  # in the test's own process too, where `make test-deepspeed` lays torchvision beside


@pytest.fixture(scope="session")
def _started() -> Iterator[list[Processes]]:
    started: list[Processes] = []
    yield started
    for processes in started:
        processes.close()


@pytest.fixture(scope="session")
def four() -> Iterator[Processes]:
    """Four processes that stay."""
    with Processes(4) as processes:
        yield processes


@pytest.fixture
def two(_started: list[Processes]) -> Processes:
    """Two processes that stay; new ones where a test that failed has ended them."""
    if not (_started and all(process.poll() is None for process in _started[-1].running)):
        _started.append(Processes(2))
    return _started[-1]
