"""Names of packages that other libraries only look at, bound without loading the package.

transformers imports torchao with its first model, for two functions of checkpoints that torchao quantized, and hqq, for
a cache in few bits. PEFT imports bitsandbytes, and all three with the first LoRA layer, to ask whether the weight is
one of theirs. That takes longer than importing torch, since hqq and bitsandbytes bring torch's compiler, and prints
lines about kernels that no job here uses. So the modules that are only asked are stood in for: a class has no instances
as long as its package is not loaded, and loads it when it is called or looked into; a function loads it when it is
called. Whoever really imports the package gets the real modules.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping
from typing import Any

Names = Mapping[str, "str | Names"]
"""Name → class, function, or the names in a module."""

UNLOADED: dict[str, Names] = {
    "torchao.utils": {"TorchAOBaseTensor": "class"},
    "torchao.prototype.safetensors.safetensors_support": {
        "flatten_tensor_state_dict": "function",
        "unflatten_tensor_state_dict": "function",
    },
    "torchao.prototype.safetensors.safetensors_utils": {"is_metadata_torchao": "function"},
    "hqq.core.quantize": {"Quantizer": "class", "HQQLinear": "class"},
    "bitsandbytes": {"nn": {"Linear8bitLt": "class", "Linear4bit": "class"}},
}
"""Module → the names in it that transformers and PEFT ask for whatever the model is, and what they are."""

OF_PACKAGES = ("__path__", "__version__")
"""Names with underlines that load a package; `inspect` asks every module for others, and wants none."""


class StandIn(types.ModuleType):
    """A module of a package that is not loaded. Any other name than those it knows loads the real one."""

    def __init__(self, name: str, known: Names):
        super().__init__(name)
        self.__dict__["_known"] = {word: _made(name, word, form) for word, form in known.items()}

    def __getattr__(self, word: str) -> Any:
        if not _loaded(self.__name__) and word in self._known:
            return self._known[word]
        wanted = word in OF_PACKAGES and "." not in self.__name__
        if word.startswith("__") and word != "__all__" and not wanted:
            raise AttributeError(word)
        return getattr(real(self.__name__), word)


def stand_in(modules: Mapping[str, Names]) -> None:
    """Bind stand-ins for modules; where the package is loaded already, or not installed, do nothing."""
    for name, known in modules.items():
        package = name.partition(".")[0]
        if name in sys.modules or package in sys.modules:
            continue
        spec = importlib.util.find_spec(package)
        if spec:
            sys.modules[name] = StandIn(name, known)
            sys.modules[name].__spec__ = spec if name == package else None  # whether it is installed is asked there


def real(name: str) -> types.ModuleType:
    """The module itself, imported in the place of its stand-in."""
    if isinstance(sys.modules.get(name), StandIn):
        del sys.modules[name]
    return importlib.import_module(name)


def _loaded(module: str) -> bool:
    package = module.partition(".")[0]
    return package in sys.modules and not isinstance(sys.modules[package], StandIn)


def _made(module: str, word: str, form: str | Names) -> Any:
    if not isinstance(form, str):
        return StandIn(f"{module}.{word}", form)
    return (_class if form == "class" else _function)(module, word)


def _class(module: str, word: str) -> type:
    class Meta(type):
        def __instancecheck__(cls, value: Any) -> bool:
            return _loaded(module) and isinstance(value, getattr(real(module), word))

        def __call__(cls, *arguments: Any, **named: Any) -> Any:
            return getattr(real(module), word)(*arguments, **named)

        def __getattr__(cls, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return getattr(getattr(real(module), word), name)

    return Meta(word, (), {"__module__": module})


def _function(module: str, word: str) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(real(module), word)(*arguments, **named)

    return call
