"""Steps on tiny models, which several contracts take."""

from __future__ import annotations

from typing import Any

from swift_core.contract.job import Job


def learn(model: Any, steps: int, rate: float, job: Job | None = None) -> list[float]:
    """Train on fixed ids with AdamW; the loss before each step. The tuners of `job` are told of every step."""
    optimizer = optimizer_of(model, rate)
    return [step_of_job(job, model, optimizer, n, steps) for n in range(steps)]


def optimizer_of(model: Any, rate: float) -> Any:
    """AdamW without decay on what trains."""
    import torch

    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)


def step_of_job(job: Job | None, model: Any, optimizer: Any, step: int, total: int) -> float:
    """One `train_step` of which the tuners of the job are told; the loss before it."""
    told = {"job": job, "model": model, "optimizer": optimizer, "step": step, "total": total}
    if job is not None:
        job.hook.before_step(**told)
    loss = train_step(model, optimizer)
    if job is not None:
        job.hook.after_step(**told)
    return loss


def near(one: Any, other: Any) -> bool:
    import torch

    return bool(torch.allclose(one, other, rtol=1e-4, atol=1e-4))


def train_step(model: Any, optimizer: Any) -> float:
    """One step on fixed ids; the loss before it. Gradients stay for the caller to read."""
    ids = ids_of(model)
    model.train()
    if hasattr(optimizer, "train"):
        optimizer.train()  # schedule-free optimizers hold other weights between evaluations
    optimizer.zero_grad()
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def ids_of(model: Any) -> Any:
    import torch

    return torch.randint(0, 200, (2, 12), generator=torch.Generator().manual_seed(1)).to(model.device)
