"""Fsdp keeps the contract of its kind; what it computes is tested with the launcher."""

from swift_testing import ParallelContract


class TestFsdp(ParallelContract):
    name = "fsdp"
    options = {"fsdp": True}
