"""SFT keeps the trainer contract; without shuffling, an accumulated batch is one large batch."""

from pathlib import Path

from safetensors.torch import load_file

from swift_core.testing import TrainerContract


class TestSft(TrainerContract):
    name = "sft"

    def test_accumulated_batches_equal_one_large_batch(self, tmp_path: Path) -> None:
        sizes = {"one": (8, 1), "several": (2, 4)}
        for name, (rows, times) in sizes.items():
            self.train(
                tmp_path / name,
                max_steps=1,
                per_device_train_batch_size=rows,
                gradient_accumulation_steps=times,
                dataset_shuffle=False,
                warmup_ratio=0.0,
            )
        one, several = (load_file(tmp_path / n / "checkpoint-1" / "adapter_model.safetensors") for n in sizes)
        for name, value in one.items():
            assert value.allclose(several[name], atol=1e-5), name
