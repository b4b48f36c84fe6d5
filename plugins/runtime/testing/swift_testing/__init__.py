"""The test kit of plugins. Inherit the contract class of your kind and name your component:

    from swift_testing import TunerContract

    class TestMine(TunerContract):
        name = "mine"
        trains = r"bias$"

Every check that the class inherits then runs on your component, on tiny models of real classes. A message
that fails says what to do. Needs pytest and the models: `pip install swift-testing`.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "backends": ("AnswersContract",),
    "contracts": ("ComponentContract", "contract_of"),
    "contracts_after": (
        "BackendContract",
        "CommandContract",
        "EvaluatorContract",
        "ExporterContract",
        "ServerContract",
    ),
    "contracts_data": ("AgentContract", "BoxContract", "DatasetContract", "LossScaleContract", "TemplateContract"),
    "contracts_environments": ("EnvironmentContract",),
    "contracts_model": ("LoaderContract", "ModelContract", "PatcherContract"),
    "contracts_recipes": ("RecipeContract",),
    "quantizers": ("QuantizerContract",),
    "contracts_training": (
        "LauncherContract",
        "ParallelContract",
        "OptimizerContract",
        "RewardContract",
        "TrainerContract",
        "TunerContract",
    ),
    "contracts_trainers": ("RewardedInvariants", "ToldInvariants", "TokenInvariants", "TrainerInvariants"),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    module = f"{__name__}.{_MODULES[name]}"
    pytest.register_assert_rewrite(module)
    return getattr(importlib.import_module(module), name)
