"""Freeze-tuning keeps the tuner contract; by prefix, share, regex and part of a multimodal model."""

import pytest
from swift_testing import TunerContract

from swift_core.contract.errors import SwiftError


class TestFreeze(TunerContract):
    name = "freeze"
    options = {"freeze_parameters": ["model.embed_tokens", "model.layers.0."], "trainable_parameters_regex": "0.*norm"}
    trains = r"layers\.1\.|layers\.0\..*norm|^model\.norm|lm_head"
    identity_at_start = True

    def trained_names(self, family, **options):
        model = self.tune(family, **{"freeze_parameters": [], "trainable_parameters_regex": None, **options}).model
        return {n: p for n, p in model.named_parameters() if p.requires_grad}, model

    def test_a_share_from_the_bottom(self):
        trained, model = self.trained_names("llama", freeze_parameters_ratio=0.5)
        total, left = (sum(p.numel() for p in ps) for ps in (model.parameters(), trained.values()))
        assert 0.5 <= left / total < 0.6
        assert "lm_head.weight" in trained and "model.embed_tokens.weight" not in trained

    def test_parts_of_a_multimodal_model(self):
        """The flags of the module map: only the vision tower, or only the aligner, trains."""
        flags = {"freeze_llm": True, "freeze_vit": False, "freeze_aligner": True}
        tower, _ = self.trained_names("qwen2_vl", **flags)
        assert tower and all("visual." in name and "merger" not in name for name in tower)
        aligner, _ = self.trained_names("qwen2_vl", **{**flags, "freeze_vit": True, "freeze_aligner": False})
        assert aligner and all("visual.merger" in name for name in aligner)

    def test_a_prefix_that_fits_nothing_is_refused(self):
        with pytest.raises(SwiftError, match=r"'model\.layer\.0' fits no parameter"):
            self.tune("llama", freeze_parameters=["model.layer.0"])


class TestFreezeByRegex(TunerContract):
    name = "freeze"
    families = ("qwen2_vl",)
    options = {"freeze_parameters_regex": r"embed_tokens|layers\.0\.", "trainable_parameters_regex": r"layers\.0.*norm"}
    trains = r"layers\.1\.|layers\.0\..*norm|language_model\.norm|lm_head"
    identity_at_start = True
