"""The losses over pairs, each a function of the two sides' likelihoods and the options, giving [pairs] values.

In every one `margin` is what the chosen answer is ahead: log π/π_ref of the chosen less that of the rejected.
"""

from __future__ import annotations

from typing import Any

import torch
from swift_plugin_runtime.alignment.preference import Answers
from torch.nn.functional import logsigmoid


def margin(chosen: Answers, rejected: Answers) -> torch.Tensor:
    """How much more the policy prefers the chosen answer than the reference does, in nats. Shape [pairs]."""
    return chosen.ratio - rejected.ratio


def logistic(x: torch.Tensor, smoothing: float) -> torch.Tensor:
    """-log σ(x), with a share of the labels flipped (conservative DPO). Any shape."""
    return -(1 - smoothing) * logsigmoid(x) - smoothing * logsigmoid(-x)


def sigmoid(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """DPO, arXiv 2305.18290 eq. 7; with ε the conservative form. Shape [pairs]."""
    return logistic(o.beta * margin(chosen, rejected), o.label_smoothing)


def sigmoid_norm(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """DPO on log ratios per token (length-normalised, as in Tülu 3, arXiv 2411.15124). Shape [pairs]."""
    return -logsigmoid(o.beta * (chosen.mean_ratio - rejected.mean_ratio))


def hinge(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """SLiC's hinge on the margin, arXiv 2305.10425; 1/β is the width that must be reached. Shape [pairs]."""
    return torch.relu(1 - o.beta * margin(chosen, rejected))


def ipo(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """IPO, arXiv 2310.12036 eq. 17, on log ratios per token; β is its τ. Shape [pairs]."""
    return (chosen.mean_ratio - rejected.mean_ratio - 1 / (2 * o.beta)) ** 2


def robust(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """Robust DPO, arXiv 2403.00409: unbiased when a share ε of the labels is flipped. Shape [pairs]."""
    x = o.beta * margin(chosen, rejected)
    return (-(1 - o.label_smoothing) * logsigmoid(x) + o.label_smoothing * logsigmoid(-x)) / (1 - 2 * o.label_smoothing)


def exo_pair(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """EXO over a pair, arXiv 2402.00856 eq. 16: reverse KL to the smoothed label distribution. Shape [pairs]."""
    x = o.beta * margin(chosen, rejected)
    smooth = torch.tensor(o.label_smoothing, device=x.device)
    ahead = torch.sigmoid(x) * (logsigmoid(x) - torch.log1p(-smooth))
    return ahead + torch.sigmoid(-x) * (logsigmoid(-x) - torch.log(smooth))


def nca_pair(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """NCA over a pair, arXiv 2402.05369: each answer against noise, so that likelihoods do not sink. Shape [pairs]."""
    x, y = o.beta * chosen.ratio, o.beta * rejected.ratio
    return -logsigmoid(x) - 0.5 * logsigmoid(-x) - 0.5 * logsigmoid(-y)


def bco_pair(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """BCO over a pair, arXiv 2404.04656, without its moving reward shift. Shape [pairs]."""
    return -logsigmoid(o.beta * chosen.ratio) - logsigmoid(-o.beta * rejected.ratio)


def sppo_hard(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """SPPO with hard labels, arXiv 2405.00675 eq. 4.7: the winner wins with probability 1. Shape [pairs]."""
    return (chosen.ratio - 0.5 / o.beta) ** 2 + (rejected.ratio + 0.5 / o.beta) ** 2


def aot(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """AOT, arXiv 2406.05882: sorted policy margins against sorted reference margins of the batch. Shape [pairs]."""
    policy = (chosen.logp - rejected.logp).sort().values
    before = (chosen.reference - rejected.reference).sort().values
    return logistic(o.beta * (policy - before), o.label_smoothing)


def aot_unpaired(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """Unpaired AOT, arXiv 2406.05882: sorted chosen ratios against sorted rejected ratios of the batch.

    Shape [pairs].
    """
    return logistic(o.beta * (chosen.ratio.sort().values - rejected.ratio.sort().values), o.label_smoothing)


def apo_zero(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """APO-zero, arXiv 2408.06266 eq. 7: the chosen up, the rejected down. Shape [pairs]."""
    return 1 - torch.sigmoid(o.beta * chosen.ratio) + torch.sigmoid(o.beta * rejected.ratio)


def apo_down(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """APO-down, arXiv 2408.06266 eq. 8: both down, the rejected further. Shape [pairs]."""
    return torch.sigmoid(o.beta * chosen.ratio) + 1 - torch.sigmoid(o.beta * margin(chosen, rejected))


def discopop(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """DiscoPOP, arXiv 2406.08414 eq. 5: a blend of logistic and exponential loss. Shape [pairs]."""
    x = o.beta * margin(chosen, rejected)
    blend = torch.sigmoid(x / o.discopop_tau)
    return -logsigmoid(x) * (1 - blend) + torch.exp(-x) * blend


def sft(chosen: Answers, rejected: Answers, o: Any) -> torch.Tensor:
    """The chosen answer's negative log-likelihood per token, arXiv 2404.19733. Shape [pairs]."""
    return -chosen.mean_logp


LOSSES = {
    f.__name__: f
    for f in (
        sigmoid,
        hinge,
        ipo,
        robust,
        exo_pair,
        nca_pair,
        bco_pair,
        sppo_hard,
        aot,
        aot_unpaired,
        apo_zero,
        apo_down,
        discopop,
        sigmoid_norm,
        sft,
    )
}
