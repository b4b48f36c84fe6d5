"""Magpie keeps the model contract, and its format the template contract."""

from swift_testing import ModelContract, TemplateContract


class TestMagpie(ModelContract):
    name = "magpie"


class TestMagpieFormat(TemplateContract):
    name = "magpie"
