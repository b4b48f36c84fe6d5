"""Gains keep the tuner contract."""

from swift_testing import TunerContract


class TestGains(TunerContract):
    name = "gains"
    trains = r"\.gains\."
    identity_at_start = True
