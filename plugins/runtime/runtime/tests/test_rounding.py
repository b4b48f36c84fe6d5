"""Stochastic rounding: right on average, exact where it can be, the same for the same seed."""

from __future__ import annotations

import pytest
import torch
from swift_plugin_runtime.rounding import Noise, piece_of, rounded, rounded_state, seed_of

HALF = (torch.bfloat16, torch.float16)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("value", [1.001, -1.001, 0.3, 3.1e-5, -2.9e-8, 1234.56])
def test_the_mean_is_the_number_itself(dtype, value):
    """Each result is one of the two neighbours; their mean is within four standard errors of the value."""
    count = 200_000
    made = rounded(torch.full((count,), value), dtype, 1).double()
    exact = torch.tensor(value).double()
    below, above = made.min(), made.max()
    assert len(made.unique()) == 2 and below < exact < above
    assert (made.mean() - exact).abs() < 4 * (above - below) / 2 / count**0.5


@pytest.mark.parametrize("dtype", HALF)
def test_what_fits_is_left_as_it_is(dtype):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    made = rounded(every.float(), dtype, 3)
    assert torch.equal(made.isnan(), every.isnan())
    same = ~every.isnan()
    assert torch.equal(made[same].view(torch.int16), every[same].view(torch.int16))


def test_numbers_that_are_none_stay_so():
    odd = torch.tensor([0x7FFFFFFF, -1, 0x7F800001], dtype=torch.int32).view(torch.float32)
    for dtype in HALF:
        assert rounded(odd, dtype, 0).isnan().all()
        assert rounded(torch.tensor([torch.inf, -torch.inf]), dtype, 0).tolist() == [torch.inf, -torch.inf]


def test_a_seed_decides_every_entry_in_any_layout():
    values = torch.randn(3, piece_of(torch.device("cpu")), generator=torch.Generator().manual_seed(0))
    once, again, other = (rounded(values, torch.bfloat16, seed) for seed in (5, 5, 6))
    assert torch.equal(once, again) and not torch.equal(once, other)
    ups = (once.float() > values).float().mean(dim=1)
    assert ((ups - 0.5).abs() < 0.01).all()  # also in the last chunk
    turned = rounded(values.T, torch.bfloat16, 5)
    assert turned.shape == values.T.shape and ((turned.float() - values.T) / values.T).abs().max() < 2**-7


def test_small_updates_survive_on_average():
    """400 updates of a 256th of a step each: to the nearest nothing moves."""
    weights, nearest = torch.ones(20_000).bfloat16(), torch.ones(20_000).bfloat16()
    for step in range(400):
        weights = rounded(weights.float() - 2.0**-16, torch.bfloat16, seed_of(0, step))
        nearest -= 2.0**-16
    assert nearest.eq(1).all()
    assert abs(float(weights.double().mean()) - (1 - 400 * 2.0**-16)) < 2e-4


def test_tied_tensors_of_a_state_stay_tied():
    """In one place, or gathered into two."""
    table = torch.randn(50, 8)
    types = dict.fromkeys(("embed", "head", "copy"), (torch.bfloat16, "embed"))
    made = rounded_state(
        {"embed": table, "head": table.detach(), "copy": table.clone(), "norm": torch.ones(8)}, types, 1, 2
    )
    assert made["embed"].data_ptr() == made["head"].data_ptr() and made["embed"].dtype == torch.bfloat16
    assert made["copy"] is made["embed"] and made["norm"].dtype == torch.float32


def test_no_two_pieces_and_no_two_entries_are_rounded_together():
    """What rounds one piece up says nothing of another's; a sum of errors varies as that of independent ones."""
    together, noise = piece_of(torch.device("cpu")), Noise(7)
    like = torch.empty(together)
    drawn = [noise.draw(like, key, number).double() for key, number in ((0, 0), (0, 1), (1, 0))]
    assert all(len(d.unique()) > 60_000 and d.min() >= 0 and d.max() <= 65535 for d in drawn)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(float(torch.corrcoef(torch.stack([drawn[one], drawn[other]]))[0, 1])) < 0.01
    means = [float(noise.draw(torch.empty(4), 0, n).double().mean()) for n in range(4000)]
    assert abs(torch.tensor(means).var().item() / (65536**2 / 12 / 4) - 1) < 0.2
