"""Training: transformers' Trainer, its arguments, its loss and its checkpoints."""


def __getattr__(name: str) -> object:
    from swift_core.moved import from_place
    from swift_plugin_runtime.moved import PACKAGES

    return from_place(__name__, PACKAGES[__name__], name)
