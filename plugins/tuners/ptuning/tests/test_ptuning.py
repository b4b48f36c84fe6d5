"""PTuning keeps the tuner contract."""

from swift_core.testing import TunerContract


class TestPTuning(TunerContract):
    name = "ptuning"
    trains = r"prompt_encoder\."
    merges = False
