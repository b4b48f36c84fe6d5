"""Rates by part: the optimizer contract, and each parameter under the rate of its part."""

from swift_testing import OptimizerContract


class TestMultimodal(OptimizerContract):
    name = "multimodal"

    def test_each_part_has_its_rate(self):
        """Qwen2-VL: the aligner lies inside the vision tower, and has its own rate all the same."""
        from swift_testing.contracts import tiny_model

        from swift_core.jobs.steps import attach_tuners, load_model

        flags = {"freeze_vit": False, "freeze_aligner": False}
        rates = {"llm_lr": 1e-5, "aligner_lr": 1e-4, "vit_lr": 2e-6, "learning_rate": 3e-3}
        job = self.job("sft", model=tiny_model("qwen2_vl"), tuner=["full"], **flags, **rates)
        model = attach_tuners(job, load_model(job)[0])
        optimizer = job.hook.create_optimizer(job=job, model=model)
        found = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
        for name, parameter in model.named_parameters():
            rate = 1e-4 if "visual.merger" in name else 2e-6 if "visual." in name else 1e-5
            assert found[id(parameter)] == rate, name
