"""Liger kernels: fused RMSNorm, SwiGLU, RoPE and cross-entropy in Triton (Hsu et al., arXiv 2410.10989)."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Patcher


@dataclass(kw_only=True, eq=False)
class Liger(Patcher):
    """Fused kernels for the loaded model, with the same results and less memory. It was not run on a GPU yet."""

    swift_api = 1

    liger_rope: bool = option(True, "Fuse the rotary embedding.")
    liger_rms_norm: bool = option(True, "Fuse normalisation.")
    liger_swiglu: bool = option(True, "Fuse the MLP's gate.")
    liger_fused_loss: bool = option(
        False, "Fuse head and loss; only methods that leave the loss to the model use it, sft and pt do not."
    )

    @hookimpl
    def patch_model(self, model: Any) -> None:
        check_device(next(model.parameters()).device.type)
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as known

        kind = model.config.model_type
        if kind not in known:
            raise SwiftError(f"Liger has no kernels for {kind}; it has them for {', '.join(sorted(known))}.")
        known[kind](
            model=model,
            rope=self.liger_rope,
            rms_norm=self.liger_rms_norm,
            swiglu=self.liger_swiglu,
            fused_linear_cross_entropy=self.liger_fused_loss,
            cross_entropy=False,
        )


def check_device(device: str) -> None:
    """SwiftError where Triton has nothing to run on."""
    if device == "cpu":
        raise SwiftError("Liger's kernels are written in Triton and need a GPU; leave --patcher liger out on a CPU.")
    if not importlib.util.find_spec("liger_kernel"):
        raise SwiftError("Liger's kernels are not installed: pip install liger-kernel")
