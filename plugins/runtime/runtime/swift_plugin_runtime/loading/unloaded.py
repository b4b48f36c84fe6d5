"""Names of packages that other libraries only look at, bound without loading the package.

transformers imports torchao with its first model, for two functions of checkpoints that torchao quantized. PEFT
imports it with the first LoRA layer, to ask whether the weight is one of torchao's. That takes about as long as
importing torch, and prints four lines about kernels that no job here uses. So the modules that both ask for are stood
in for: a class has no instances as long as its package is not loaded, a function loads it when it is called. Whoever
really imports the package gets the real modules.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

TORCHAO = {
    "torchao.utils": {"TorchAOBaseTensor": "class"},
    "torchao.prototype.safetensors.safetensors_support": {
        "flatten_tensor_state_dict": "function",
        "unflatten_tensor_state_dict": "function",
    },
    "torchao.prototype.safetensors.safetensors_utils": {"is_metadata_torchao": "function"},
}
"""Module → the names in it that transformers and PEFT import whatever the model is, and what they are."""


class StandIn(types.ModuleType):
    """A module of a package that is not loaded. Any other name than those it knows loads the real one."""

    def __init__(self, name: str, known: dict[str, str]):
        super().__init__(name)
        self.__dict__["_known"] = {word: _FORMS[form](name, word) for word, form in known.items()}

    def __getattr__(self, word: str) -> Any:
        loaded = self.__name__.partition(".")[0] in sys.modules
        if not loaded and word in self._known:
            return self._known[word]
        if word.startswith("__") and word != "__all__":  # `inspect` asks every module for its file, and wants none
            raise AttributeError(word)
        return getattr(real(self.__name__), word)


def stand_in(modules: dict[str, dict[str, str]]) -> None:
    """Bind stand-ins for modules; where the package is loaded already, or not installed, do nothing."""
    for name, known in modules.items():
        package = name.partition(".")[0]
        if name not in sys.modules and package not in sys.modules and importlib.util.find_spec(package):
            sys.modules[name] = StandIn(name, known)


def real(name: str) -> types.ModuleType:
    """The module itself, imported in the place of its stand-in."""
    if isinstance(sys.modules.get(name), StandIn):
        del sys.modules[name]
    return importlib.import_module(name)


def _class(module: str, word: str) -> type:
    class Meta(type):
        def __instancecheck__(cls, value: Any) -> bool:
            return module.partition(".")[0] in sys.modules and isinstance(value, getattr(real(module), word))

    return Meta(word, (), {"__module__": module})


def _function(module: str, word: str) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(real(module), word)(*arguments, **named)

    return call


_FORMS = {"class": _class, "function": _function}
