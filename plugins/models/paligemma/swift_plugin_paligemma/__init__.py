"""PaliGemma 1 and 2: SigLIP before Gemma, for transfer."""

from typing import Any

from swift_core import Family, Modules, hookimpl
from swift_core.contract.job import Job


class PaliGemma(Family):
    """A prefix language model: picture and question are read in both directions, the answer from left to right."""

    @hookimpl
    def load_processor(self, job: Job, path: str) -> Any:
        from swift_plugin_runtime.loading.processor import load_processor

        return one_line_break(load_processor(path, job.options.trust_remote_code))

    @hookimpl(wrapper=True)
    def encode(self) -> Any:
        rows = yield
        for row in rows:
            length = len(row["input_ids"])
            start = next((n for n, label in enumerate(row.get("labels", ())) if label >= 0), length)
            row["token_type_ids"] = [0] * start + [1] * (length - start)
        return rows


def one_line_break(processor: Any) -> Any:
    """The processor without the line break that it puts behind every text: the template writes the one that ends a
    question, and none may follow an answer."""

    def prepare_inputs_layout(self: Any, **given: Any) -> Any:
        images, texts, *more = owner.prepare_inputs_layout(self, **given)
        return (images, [text.removesuffix("\n") for text in texts], *more)

    owner = type(processor)
    methods = {"prepare_inputs_layout": prepare_inputs_layout, "__module__": __name__}
    processor.__class__ = type(owner.__name__, (owner,), methods)
    return processor


card = PaliGemma(
    name="paligemma",
    bbox="paligemma",
    summary="PaliGemma 1 and 2: SigLIP before Gemma, for transfer.",
    architectures=("PaliGemmaForConditionalGeneration",),
    config_types=("paligemma",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "paligemma": """
AI-ModelScope/paligemma-3b-pt-224 = google/paligemma-3b-pt-224
AI-ModelScope/paligemma-3b-pt-448 = google/paligemma-3b-pt-448
AI-ModelScope/paligemma-3b-pt-896 = google/paligemma-3b-pt-896
AI-ModelScope/paligemma-3b-mix-224 = google/paligemma-3b-mix-224
AI-ModelScope/paligemma-3b-mix-448 = google/paligemma-3b-mix-448
AI-ModelScope/paligemma2-3b-pt-224 = google/paligemma2-3b-pt-224
AI-ModelScope/paligemma2-3b-pt-448 = google/paligemma2-3b-pt-448
AI-ModelScope/paligemma2-3b-pt-896 = google/paligemma2-3b-pt-896
AI-ModelScope/paligemma2-10b-pt-224 = google/paligemma2-10b-pt-224
AI-ModelScope/paligemma2-10b-pt-448 = google/paligemma2-10b-pt-448
AI-ModelScope/paligemma2-10b-pt-896 = google/paligemma2-10b-pt-896
AI-ModelScope/paligemma2-28b-pt-224 = google/paligemma2-28b-pt-224
AI-ModelScope/paligemma2-28b-pt-448 = google/paligemma2-28b-pt-448
AI-ModelScope/paligemma2-28b-pt-896 = google/paligemma2-28b-pt-896
AI-ModelScope/paligemma2-3b-ft-docci-448 = google/paligemma2-3b-ft-docci-448
AI-ModelScope/paligemma2-10b-ft-docci-448 = google/paligemma2-10b-ft-docci-448
""",
    },
)
