"""NEFTune keeps the tuner contract; its noise has the paper's size, and an adapter may train beside it."""

import torch
from swift_plugin_neftune import Neftune
from swift_testing import TunerContract
from swift_testing.contracts import tiny_model
from swift_testing.contracts_model import logits_of
from swift_testing.steps import learn

from swift_core.api import from_pretrained, prepare_model, save_pretrained


class TestNeftune(TunerContract):
    name = "neftune"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"neftune_noise_alpha": 0.001}
    trains = r"^(?!.*visual\.)"  # --freeze_vit and --freeze_aligner are on
    identity_at_start = True

    def test_learns_the_same_with_gradient_checkpointing(self, trained):
        """With noise two passes differ by nature; recomputing draws none, as it lies outside the blocks."""
        model = trained("llama").tuned.model.train()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        drawn = []
        hook = model.get_input_embeddings().register_forward_hook(lambda *_: drawn.append(1))
        ids = torch.arange(3, 9).unsqueeze(0)
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        hook.remove()
        model.gradient_checkpointing_disable()
        assert len(drawn) == 1


def test_noise_is_uniform_in_training_alone_and_lora_trains_beside_it(tmp_path):
    from transformers import AutoModelForCausalLM

    def load():
        return AutoModelForCausalLM.from_pretrained(tiny_model("llama"))

    model = prepare_model(load(), {"first": "lora", "noise": Neftune(neftune_noise_alpha=8.0)})
    embeddings = model.get_input_embeddings()
    ids = torch.arange(3, 43).unsqueeze(0)
    clean = embeddings.eval()(ids)
    noise = embeddings.train()(ids) - clean
    bound = 8 / (40 * 64) ** 0.5
    assert noise.abs().max() <= bound
    assert abs(noise.std().item() / (bound / 3**0.5) - 1) < 0.05  # uniform
    assert {n.split(".")[-3] for n, p in model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
    learn(model, 2, 0.01)
    save_pretrained(model, tmp_path)
    assert torch.allclose(logits_of(from_pretrained(load(), tmp_path)), logits_of(model), atol=1e-5)
