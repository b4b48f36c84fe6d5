"""Magpie: a family with Llama's layers, told by a word in its checkpoints' names, and a chat format of its own."""

from swift_core import Family, Modules, Unsupported
from swift_core.templates import Template

card = Family(
    name="magpie",
    summary="Magpie: collects what shines.",
    architectures=("LlamaForCausalLM",),
    config_types=("llama",),
    named=("magpie",),
    modules=Modules(language_model=("model", "lm_head")),
    capabilities={"ptuning": Unsupported("its embeddings are shared with a retriever.")},
    checkpoints={"magpie": "acme/Magpie-1B = acme-ai/Magpie-1B"},
)

template = Template(
    name="magpie",
    summary="Chat format of Magpie.",
    start="<|begin_of_text|>",
    system="<|start_header_id|>law<|end_header_id|>{system}<|eot_id|>",
    user="<|start_header_id|>me<|end_header_id|>{query}<|eot_id|>",
    assistant="<|start_header_id|>bird<|end_header_id|>",
    end="<|eot_id|>",
)
