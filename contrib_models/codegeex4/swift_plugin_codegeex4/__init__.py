"""CodeGeeX4 9B: code on GLM-4."""

from typing import Any

from swift_core import Family, Modules, hookimpl
from swift_core.contract.job import Job


class CodeGeeX4(Family):
    """Its tokenizer was written before transformers said on which side to pad."""

    @hookimpl
    def load_processor(self, job: Job, path: str) -> Any:
        import transformers
        from swift_plugin_runtime.loading.repairs import padding_side

        trust = job.options.trust_remote_code
        return padding_side(transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=trust))


card = CodeGeeX4(
    name="codegeex4",
    summary="CodeGeeX4 9B: code on GLM-4.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    named=("codegeex4",),
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    requires=("transformers<4.42",),
    checkpoints={
        "codegeex4": """
ZhipuAI/codegeex4-all-9b = zai-org/codegeex4-all-9b
""",
    },
)
