"""Full fine-tuning keeps the tuner contract."""

from swift_core.testing import TunerContract


class TestFull(TunerContract):
    name = "full"
    trains = "."
    identity_at_start = True
