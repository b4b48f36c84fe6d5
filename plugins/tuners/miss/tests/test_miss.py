"""Miss keeps the tuner contract."""

from swift_core.testing import TunerContract


class TestMiss(TunerContract):
    name = "miss"
    trains = r"\.miss_block\."
    identity_at_start = True
    options = {"miss_rank": 8}
