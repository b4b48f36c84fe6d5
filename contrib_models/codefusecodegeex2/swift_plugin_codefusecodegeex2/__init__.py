"""CodeFuse on CodeGeeX2."""

from typing import Any

from swift_core import Family, Modules, hookimpl
from swift_core.contract.job import Job


class CodeFuseCodeGeeX2(Family):
    """Its tokenizer was written before transformers said on which side to pad."""

    @hookimpl
    def load_processor(self, job: Job, path: str) -> Any:
        import transformers
        from swift_plugin_runtime.loading.repairs import padding_side

        trust = job.options.trust_remote_code
        return padding_side(transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=trust))


card = CodeFuseCodeGeeX2(
    name="codefuse_codegeex2",
    summary="CodeFuse on CodeGeeX2.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    named=("codefuse",),
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    requires=("transformers<4.34",),
    checkpoints={
        "codefuse": """
codefuse-ai/CodeFuse-CodeGeeX2-6B
""",
    },
)
