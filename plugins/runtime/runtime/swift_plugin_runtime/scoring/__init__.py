"""Scoring: models that give numbers, trained and asked."""


def __getattr__(name: str) -> object:
    from swift_core.moved import from_place
    from swift_plugin_runtime.moved import PACKAGES

    return from_place(__name__, PACKAGES[__name__], name)
