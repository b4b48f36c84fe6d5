"""The contract of quantizers.

"The loss is finite and only the adapter has gradients" is no proof: kernels have passed it with gradients that
were wrong, some always, some only after a first forward pass without gradients. The norm then falls towards
the first layer. So the adapter's gradients are compared with those on the original model, layer by layer,
before and after an evaluation.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from swift_core.contract.capability import Supported
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.signatures import implementations
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model
from swift_testing import tiny
from swift_testing.contracts import CHAT, ComponentContract, tiny_model, write_rows

LAYERS = 4
"""Depth of the tiny models: enough that a gradient lost on its way down is seen."""


class Pair(NamedTuple):
    """One tiny model twice, with the same LoRA weights, A and B random. Logits are of the quantized one.

    plain, quantized: with the adapter. bare: logits of the quantized model before the adapter was attached.
    """

    job: Job
    plain: Any
    quantized: Any
    bare: Any


class QuantizerContract(ComponentContract):
    """A quantizer at load time: fewer bytes, nearly the same answers, right gradients, nothing lost on saving."""

    kind = "quantizer"
    least_logit_cosine = 0.8
    least_gradient_cosine = 0.6
    """4 bits on random weights reach 0.7, 8 bits 0.99; a lost gradient falls below 0.5."""
    gradient_norms = (0.8, 1.25)
    """Bounds of the ratio of gradient norms, per layer. A lost gradient falls to 0.5 and below."""

    rows: list[dict[str, Any]] = CHAT
    """Calibration rows of a quantizer that works offline alone; its checkpoint is then what is tried."""

    @pytest.fixture(scope="class", params=["qwen2", "llama"])
    def pair(self, request: Any, tmp_path_factory: Any) -> Pair:
        """The two models, once with biases on q, k and v (qwen2) and once without (llama): kernels differ there."""
        build = getattr(tiny, f"tiny_{request.param}")
        folder = build(tmp_path_factory.mktemp(request.param), hidden_size=128, num_hidden_layers=LAYERS)
        return self.make_pair(folder)

    def make_pair(self, folder: str) -> Pair:
        """The model in `folder` in float32 and quantized, each with the same adapter."""
        shared = {"tuner": ["lora"], "torch_dtype": "float32", "device": "cpu"}
        plain_job = prepare("sft", [Given(k, v, "test") for k, v in {"model": folder, **shared}.items()])
        job = self.job("sft", model=folder if self.at_load else self.quantize_offline(folder), **shared)
        plain = attach_tuners(plain_job, load_model(plain_job)[0])
        quantized = load_model(job)[0].train()
        bare = logits(quantized, with_gradients=True)
        quantized = attach_tuners(job, quantized)
        share_random_adapter(plain, quantized)
        return Pair(job, plain, quantized, bare)

    @property
    def at_load(self) -> bool:
        """Whether it quantizes while the model loads."""
        hooks = implementations(self.component)
        return "quantization_config" in hooks or "quantize_model" not in hooks

    def quantize_offline(self, folder: str) -> str:
        """The folder of the quantized checkpoint that `swift export --quantizer NAME` writes."""
        options = {"model": folder, "torch_dtype": "float32", "device": "cpu"}
        job = self.job("export", dataset=[write_rows(folder, self.rows)], **options)
        made: str = job.run()["folders"][self.name]
        return made

    def test_export_writes_a_checkpoint_or_refuses_before_it_asks_for_rows(self) -> None:
        """A quantizer that works at load alone says so at once, and its `stages` say the same."""
        writes = "quantize_model" in implementations(self.component)
        job = self.job("export", model=tiny_model("qwen2"))
        assert isinstance(job.one("quantizer").stages.get("PTQ"), Supported) == writes
        if not writes:
            with pytest.raises(SwiftError, match="quantizes only while a model loads, not into a checkpoint"):
                job.run()

    @pytest.mark.parametrize("when", ["fresh", "after an evaluation"])
    def test_gradients_are_right(self, pair: Pair, when: str) -> None:
        """In every layer the adapter's gradient has the direction and the length that the original gives."""
        if when != "fresh":
            logits(pair.quantized)
        for layer, (near, ratio) in compare_gradients(pair.plain, pair.quantized).items():
            text = f"{when}, layer {layer}: gradient cosine {near:.2f}, norm ratio {ratio:.2f}"
            assert near > self.least_gradient_cosine, text
            assert self.gradient_norms[0] < ratio < self.gradient_norms[1], text

    def test_stores_fewer_bytes(self, pair: Pair) -> None:
        """The state of the quantized model weighs less than the original's."""
        plain, small = (self.bytes_of(m) for m in (pair.plain, pair.quantized))
        assert small < plain, f"The quantized model holds {small} bytes, the original {plain}."

    def bytes_of(self, model: Any) -> int:
        """Bytes of all tensors; override where tensor subclasses report the size they stand for."""
        return sum(t.nbytes for t in model.state_dict().values() if hasattr(t, "nbytes"))

    def test_answers_nearly_as_before(self, pair: Pair) -> None:
        """Logits point the same way as the original's."""
        near = _cosine(logits(pair.plain), logits(pair.quantized))
        assert near > self.least_logit_cosine, f"Logits have a cosine of only {near:.2f} with the original's."

    def test_the_adapter_is_saved_and_loaded(self, pair: Pair, tmp_path: Path) -> None:
        """On a freshly quantized base the saved adapter gives the same logits."""
        item = pair.job.many("tuner")[0]
        folder, label = str(tmp_path), item.label
        pair.job.call(item, "save_tuner", model=pair.quantized, folder=folder, name=label)
        fresh = load_model(pair.job)[0]
        fresh = pair.job.call(item, "load_tuner", model=fresh, folder=folder, name=label, trainable=False)
        off = (logits(fresh) - logits(pair.quantized)).abs().max().item()
        assert off < 1e-4, f"Logits differ by {off} after saving and loading the adapter."

    def test_a_merge_keeps_the_adapter_or_is_refused(self, pair: Pair, tmp_path: Path) -> None:
        """After an evaluation too: the merged model answers as the adapter's, not as the bare one."""
        item = pair.job.many("tuner")[0]
        pair.job.call(item, "save_tuner", model=pair.quantized, folder=str(tmp_path), name=item.label)
        model = load_model(pair.job)[0]
        logits(model)
        model = pair.job.call(item, "load_tuner", model=model, folder=str(tmp_path), name=item.label, trainable=False)
        adapted = logits(model)
        try:
            merged = pair.job.call(item, "merge_tuner", model=model, name=item.label)
        except SwiftError:
            return
        outputs = logits(merged)
        near, far = (outputs - adapted).norm().item(), (outputs - pair.bare).norm().item()
        assert near < far / 2, f"Merged logits are {near:.3g} from the adapter's and {far:.3g} from the bare model's."

    def test_transformers_trains_an_adapter_on_it(self, pair: Pair) -> None:
        """A job with an adapter was not refused before it loaded, so transformers' Trainer takes the model."""
        from transformers.trainer_utils import validate_quantization_for_training

        validate_quantization_for_training(pair.quantized)

    def test_an_adapter_learns_and_the_model_generates(self, pair: Pair) -> None:
        """QLoRA: after an evaluation, a few steps lower the loss; greedy decoding goes on from a prompt."""
        from swift_testing.steps import learn

        logits(pair.quantized)
        losses = learn(pair.quantized, 6, 0.01)
        assert losses[-1] < losses[0], f"Losses of an adapter on quantized weights: {losses}."
        ids = _ids(pair.quantized)[:1, :6]
        told = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        assert pair.quantized.eval().generate(input_ids=ids, **told).shape == (1, 9)


def share_random_adapter(one: Any, other: Any, scale: float = 0.05) -> None:
    """Give two models the same LoRA weights, both matrices random: fresh ones have B = 0 and hide half the check."""
    import torch

    generator = torch.Generator().manual_seed(7)
    twins = dict(other.named_parameters())
    for name, parameter in one.named_parameters():
        if parameter.requires_grad:
            value = torch.randn(parameter.shape, generator=generator) * scale
            parameter.data.copy_(value)
            twins[name].data.copy_(value)


def compare_gradients(plain: Any, quantized: Any) -> dict[int, tuple[float, float]]:
    """Layer → (cosine, norm ratio) of the trained parameters' gradients after one training step on fixed ids."""
    return compare_layers(_gradients(plain), _gradients(quantized))


def compare_layers(wanted: dict[str, Any], gradients: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Layer → (cosine, norm ratio) of gradients by name."""
    assert wanted.keys() == gradients.keys(), f"Without gradient: {sorted(wanted.keys() ^ gradients.keys())[:3]}."
    layers: dict[int, list[str]] = {}
    for name in sorted(wanted):
        layers.setdefault(int(re.findall(r"\.layers\.(\d+)\.", name)[0]), []).append(name)
    return {layer: _compared(wanted, gradients, names) for layer, names in layers.items()}


def compare_apart(
    plain: str, quantized: str, python: Path, loader: str, folder: Path
) -> dict[int, tuple[float, float]]:
    """Layer → (cosine, norm ratio) after an evaluation, where another environment loads the checkpoint `quantized`.

    plain: the checkpoint of the original. python, loader: the interpreter there, and how it loads (see `apart`).
    """
    import torch

    from swift_testing import apart

    command = [str(python), apart.__file__, quantized, loader, str(folder / "gradients.pt")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert not done.returncode, done.stderr[-800:]
    return compare_layers(apart.adapter_gradients(apart.load(plain)), torch.load(folder / "gradients.pt"))


def _compared(wanted: dict[str, Any], gradients: dict[str, Any], names: list[str]) -> tuple[float, float]:
    import torch

    one, other = (torch.cat([grads[n].flatten() for n in names]) for grads in (wanted, gradients))
    return _cosine(one, other), (other.norm() / one.norm()).item()


def _gradients(model: Any) -> dict[str, Any]:
    ids = _ids(model)
    model.train()
    model.zero_grad()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return {n: p.grad.float().clone() for n, p in model.named_parameters() if p.grad is not None}


def logits(model: Any, with_gradients: bool = False) -> Any:
    """Logits as an evaluation computes them; with gradients where kernels must not yet repack their weights."""
    import torch

    model.train(with_gradients)
    with torch.set_grad_enabled(with_gradients):
        return model(input_ids=_ids(model), use_cache=False).logits.detach().float()


def _ids(model: Any) -> Any:
    import torch

    return (torch.arange(2 * 24).reshape(2, 24) * 37 + 11) % model.config.vocab_size


def _cosine(one: Any, other: Any) -> float:
    import torch

    return torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()
