"""Gradients of adapters in another environment, where neither swift-core nor PEFT is: torch alone is imported.

`python apart.py FOLDER LOADER OUT` loads a quantized checkpoint as its own library does, and writes them. So a test
shows that the contract of quantizers would catch kernels which are not used here for that reason.
"""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Load, run, write."""
    import torch

    folder, loader, out = sys.argv[1:]
    torch.save(adapter_gradients(load(folder, loader)), out)


def load(folder: str, loader: str = "transformers") -> Any:
    """The model as `transformers` loads it, or as GPTQModel does with the backend of that name."""
    import torch

    if loader == "transformers":
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    from gptqmodel import BACKEND, GPTQModel

    return GPTQModel.load(folder, device="cpu", backend=BACKEND(loader), dtype=torch.float32).model


def adapter_gradients(model: Any) -> dict[str, Any]:
    """Name → gradient of LoRA's A and B, both random, on every projection; in training, after an evaluation."""
    import torch

    generator = torch.Generator().manual_seed(7)
    trained: dict[str, Any] = {}
    for name in sorted(name for name, _ in model.named_modules() if name.endswith("_proj")):
        layer = model.get_submodule(name)
        a, b = (
            (torch.randn(shape, generator=generator) * 0.05).requires_grad_()
            for shape in ((8, layer.in_features), (layer.out_features, 8))
        )
        layer.register_forward_hook(lambda _, inputs, out, a=a, b=b: out + (inputs[0] @ a.T @ b.T).to(out.dtype))
        trained |= {f"{name}.A": a, f"{name}.B": b}
    ids = (torch.arange(2 * 24).reshape(2, 24) * 37 + 11) % model.config.vocab_size
    model.requires_grad_(False).eval()
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)
    model.train()(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return {name: value.grad for name, value in trained.items()}


if __name__ == "__main__":
    main()
