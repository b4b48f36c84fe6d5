"""FourierFt keeps the tuner contract."""

from swift_testing import TunerContract


class TestFourierFt(TunerContract):
    name = "fourierft"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.fourierft_spectrum\."
    identity_at_start = True
    options = {"fourier_n_frequency": 64, "fourier_scaling": 300.0}
    learning_rate = 0.1
