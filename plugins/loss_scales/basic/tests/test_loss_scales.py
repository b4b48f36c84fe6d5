"""Which turns are trained."""

import pytest
from swift_plugin_loss_scales import All, Default, LastRound
from swift_testing import LossScaleContract


@pytest.mark.parametrize(
    ("role", "last", "default", "last_round", "everything"),
    [("assistant", True, 1, 1, 1), ("assistant", False, 1, 0, 1), ("user", False, 0, 0, 1), ("frame", False, 0, 0, 1)],
)
def test_each_scale_trains_its_turns(role, last, default, last_round, everything):
    assert Default().weigh(role=role, text="x") == [("x", default)]
    assert LastRound().weigh(role=role, text="x", last=last) == [("x", last_round)]
    assert All().weigh(text="x") == [("x", everything)]


class TestDefault(LossScaleContract):
    name = "default"


class TestLastRound(LossScaleContract):
    name = "last_round"


class TestAll(LossScaleContract):
    name = "all"
