"""ChatGLM2 6B and CodeGeeX2."""

from typing import Any

from swift_core import Family, Modules, hookimpl
from swift_core.contract.job import Job


class ChatGLM2(Family):
    """Its tokenizer was written before transformers said on which side to pad."""

    @hookimpl
    def load_processor(self, job: Job, path: str) -> Any:
        import transformers
        from swift_plugin_runtime.loading.repairs import padding_side

        trust = job.options.trust_remote_code
        return padding_side(transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=trust))


card = ChatGLM2(
    name="chatglm2",
    summary="ChatGLM2 6B and CodeGeeX2.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    tells={"padded_vocab_size": 65024},
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    checkpoints={
        "chatglm2": """
ZhipuAI/chatglm2-6b = zai-org/chatglm2-6b
ZhipuAI/chatglm2-6b-32k = zai-org/chatglm2-6b-32k
ZhipuAI/codegeex2-6b = zai-org/codegeex2-6b
""",
    },
)
