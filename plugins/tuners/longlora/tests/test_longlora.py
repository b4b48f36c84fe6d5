"""LongLoRA keeps the tuner contract; its attention is the dense one under the mask of groups and shifts."""

import pytest
import torch
from swift_plugin_longlora.attention import grouped_attention
from swift_testing import TunerContract


class TestLongLora(TunerContract):
    name = "longlora"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lora_rank": 4, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    trains = r"lora_[AB]|(embed_tokens|norm)\.modules_to_save"
    identity_at_start = True

    def test_one_group_trains_as_the_base_model_does(self):
        """A group as long as the row: logits in training are those of full attention; shorter ones, others."""
        ids = torch.arange(3, 19).unsqueeze(0)
        tuned = self.tune("llama", longlora_group_ratio=1.0)
        wanted = self.tune("llama", longlora_group_ratio=0.25).model.eval()(input_ids=ids).logits
        assert torch.allclose(tuned.model.train()(input_ids=ids).logits, wanted, atol=1e-5)
        grouped = self.tune("llama", longlora_group_ratio=0.25).model.train()(input_ids=ids).logits
        assert not torch.allclose(grouped, wanted, atol=1e-3)


def heads(length):
    torch.manual_seed(length)
    return [torch.randn(2, n, length, 8) for n in (4, 2, 2)]  # two query heads for each key head


def dense(query, key, value, allowed):
    key, value = (t.repeat_interleave(2, dim=1) for t in (key, value))
    scores = (query @ key.transpose(-1, -2)) * 8**-0.5
    return scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ value


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("length", "group"), [(16, 4), (18, 5), (7, 2)])
def test_equals_dense_attention_within_groups(length, group, padded):
    """Heads of the first half see their own group; those of the second, groups that begin G/2 earlier."""
    query, key, value = heads(length)
    place = torch.arange(length)
    causal = place[:, None] >= place[None, :]
    masks = []
    for shift in (0, group - group // 2):
        number = (place + shift) // group
        masks.append(causal & (number[:, None] == number[None, :]))
    allowed = torch.stack([masks[0], masks[0], masks[1], masks[1]]).unsqueeze(0).repeat(2, 1, 1, 1)
    given = None
    if padded:
        real = torch.ones(2, length, dtype=torch.bool)
        real[1, -3:] = False
        given = (causal & real[:, None, None, :]) | torch.eye(length, dtype=torch.bool)
        allowed = (allowed & real[:, None, None, :]) | torch.eye(length, dtype=torch.bool)
    found = grouped_attention(query, key, value, given, group, 8**-0.5, 0.0)
    assert torch.allclose(found, dense(query, key, value, allowed), atol=1e-5)


def test_one_group_is_full_attention():
    query, key, value = heads(12)
    causal = torch.ones(12, 12, dtype=torch.bool).tril()
    for group in (12, 40):
        found = grouped_attention(query, key, value, None, group, 8**-0.5, 0.0)
        assert torch.allclose(found, dense(query, key, value, causal), atol=1e-5)
