"""The plain conventions keep the contract. (What they write, to the letter, is tested in tests/test_boxes.py.)"""

from swift_testing import BoxContract


class TestReal(BoxContract):
    name = "real"


class TestNorm1(BoxContract):
    name = "norm_1"


class TestNorm1000(BoxContract):
    name = "norm_1000"
