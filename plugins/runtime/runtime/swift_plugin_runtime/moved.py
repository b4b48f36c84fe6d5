"""Old import paths of the runtime, for one minor version; `swift_core.moved` says how they are found."""

from __future__ import annotations

MOVED: dict[str, tuple[str, ...]] = {
    "swift_plugin_runtime.adapters": ("swift_plugin_runtime.tuning.adapters",),
    "swift_plugin_runtime.added": ("swift_plugin_runtime.tuning.adapter_modules",),
    "swift_plugin_runtime.attention": ("swift_plugin_runtime.batching.attention",),
    "swift_plugin_runtime.calibration": ("swift_plugin_runtime.quantizing.calibration",),
    "swift_plugin_runtime.checks": ("swift_plugin_runtime.encoding.row_filter",),
    "swift_plugin_runtime.codes": ("swift_plugin_runtime.quantizing.packed_weights",),
    "swift_plugin_runtime.collate": ("swift_plugin_runtime.batching.collate",),
    "swift_plugin_runtime.drawing": ("swift_plugin_runtime.rollouts.rollout",),
    "swift_plugin_runtime.flat": ("swift_plugin_runtime.batching.padding_free",),
    "swift_plugin_runtime.forked": ("swift_plugin_runtime.encoding.forked",),
    "swift_plugin_runtime.fused": ("swift_plugin_runtime.training.fused_loss",),
    "swift_plugin_runtime.heads": ("swift_plugin_runtime.loading.heads",),
    "swift_plugin_runtime.hub": ("swift_plugin_runtime.loading.hub",),
    "swift_plugin_runtime.layers": ("swift_plugin_runtime.loading.layers",),
    "swift_plugin_runtime.loader": ("swift_plugin_runtime.loading.loader",),
    "swift_plugin_runtime.memory": ("swift_plugin_runtime.training.memory",),
    "swift_plugin_runtime.multimodal": ("swift_plugin_runtime.encoding.multimodal",),
    "swift_plugin_runtime.offline": ("swift_plugin_runtime.quantizing.offline",),
    "swift_plugin_runtime.patchers": ("swift_plugin_runtime.loading.patchers",),
    "swift_plugin_runtime.peft_tuner": ("swift_plugin_runtime.tuning.peft_tuner",),
    "swift_plugin_runtime.plots": ("swift_plugin_runtime.training.plots",),
    "swift_plugin_runtime.policy": ("swift_plugin_runtime.rollouts.policy",),
    "swift_plugin_runtime.postponed": ("swift_plugin_runtime.training.postponed",),
    "swift_plugin_runtime.preference": ("swift_plugin_runtime.alignment.preference",),
    "swift_plugin_runtime.processor": ("swift_plugin_runtime.loading.processor",),
    "swift_plugin_runtime.relevance": ("swift_plugin_runtime.scoring.relevance",),
    "swift_plugin_runtime.repairs": ("swift_plugin_runtime.loading.repairs",),
    "swift_plugin_runtime.rollout": ("swift_plugin_runtime.rollouts.rollout",),
    "swift_plugin_runtime.rollout_options": ("swift_plugin_runtime.rollouts.options",),
    "swift_plugin_runtime.rows": ("swift_plugin_runtime.encoding.datasets",),
    "swift_plugin_runtime.scorer": ("swift_plugin_runtime.scoring.scorer",),
    "swift_plugin_runtime.sharding": ("swift_plugin_runtime.training.sharding",),
    "swift_plugin_runtime.stepwise": ("swift_plugin_runtime.optimizing.layerwise",),
    "swift_plugin_runtime.stored": ("swift_plugin_runtime.encoding.arrow_cache",),
    "swift_plugin_runtime.switching": ("swift_plugin_runtime.tuning.offload",),
    "swift_plugin_runtime.texts": ("swift_plugin_runtime.scoring.texts",),
    "swift_plugin_runtime.watch": ("swift_plugin_runtime.encoding.media_check",),
}
"""Old module → the module that holds its names now. `training`, `scoring` and `alignment` are packages now."""

PACKAGES = {
    "swift_plugin_runtime.training": "swift_plugin_runtime.training.trainer",
    "swift_plugin_runtime.scoring": "swift_plugin_runtime.scoring.trainer",
    "swift_plugin_runtime.alignment": "swift_plugin_runtime.alignment.reference",
}
"""Old module that is a room now → the module that holds what stood in it."""
