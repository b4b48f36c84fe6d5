"""Full fine-tuning keeps the tuner contract."""

from swift_testing import TunerContract


class TestFull(TunerContract):
    name = "full"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"^(?!.*visual\.)"  # --freeze_vit and --freeze_aligner are on
    identity_at_start = True
