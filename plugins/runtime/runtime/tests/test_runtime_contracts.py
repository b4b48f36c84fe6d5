"""The loader and the patchers of the runtime keep their contracts."""

from pathlib import Path

import pytest
from swift_testing import LoaderContract, PatcherContract
from swift_testing.contracts import tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.jobs.steps import load_model


class TestTransformers(LoaderContract):
    name = "transformers"

    def test_code_in_a_checkpoint_is_named_and_not_run(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.Mine"}}')
        (tmp_path / "modeling.py").write_text("raise SystemExit('it ran')")
        with pytest.raises(SwiftError, match=r"modeling\.py.*--trust_remote_code"):
            load_model(self.job(model=str(tmp_path), model_type="internlm2"))

    def test_pickled_weights_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
        (tmp_path / "pytorch_model.bin").write_bytes(b"")
        with pytest.raises(SwiftError, match=r"pytorch_model\.bin.*--allow_pickle"):
            load_model(self.job(model=str(tmp_path), model_type="qwen2"))


class TestInputGrads(PatcherContract):
    name = "input-grads"


class TestFloat32Norms(PatcherContract):
    name = "fp32-norms"

    def test_norms_are_float32_in_a_half_precision_model(self) -> None:
        model, _ = load_model(self.job(model=tiny_model("llama"), torch_dtype="bfloat16"))
        types = {n: str(p.dtype) for n, p in model.named_parameters()}
        norms = {n for n in types if "norm" in n}
        assert norms and all(types[n] == "torch.float32" for n in norms)
        assert all(t == "torch.bfloat16" for n, t in types.items() if n not in norms)
