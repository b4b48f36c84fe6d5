"""Trained parameters of Qwen-7B under each tuner, as Table 4 of the SWIFT paper gives them, on the meta device."""

from __future__ import annotations

import pytest
import torch

from swift_core import prepare_model


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.w2 = (torch.nn.Linear(4096, 11008, bias=False) for _ in range(2))
        self.c_proj = torch.nn.Linear(11008, 4096, bias=False)


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = torch.nn.Linear(4096, 3 * 4096)
        self.c_proj = torch.nn.Linear(4096, 4096, bias=False)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = (torch.nn.RMSNorm(4096) for _ in range(2))
        self.attn, self.mlp = Attention(), Mlp()


class Qwen7B(torch.nn.Module):
    """The weights of Qwen-7B: one fused projection for queries, keys and values. Only they count here."""

    def __init__(self):
        super().__init__()
        self.wte = torch.nn.Embedding(151936, 4096)
        self.h = torch.nn.ModuleList(Block() for _ in range(32))
        self.ln_f = torch.nn.RMSNorm(4096)
        self.lm_head = torch.nn.Linear(4096, 151936, bias=False)

    def get_output_embeddings(self):
        return self.lm_head


@pytest.mark.parametrize(
    ("tuner", "millions"),
    [("full", 7721.32), ("lora", 17.89), ("rslora", 17.89), ("dora", 19.25), ("adalora", 26.84)],
)
def test_trained_parameters(tuner, millions):
    """Rank 8 on every linear layer but the head; AdaLoRA starts from rank 12. LLaMA-Pro's 809.58: its own test."""
    with torch.device("meta"):
        model = Qwen7B()
        assert sum(p.numel() for p in model.parameters()) == 7_721_324_544
        model = prepare_model(model, tuner)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert round(trained / 1e6, 2) == millions
