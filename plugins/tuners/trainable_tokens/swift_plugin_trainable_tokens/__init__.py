"""Trainable tokens: the embeddings of chosen tokens alone train (a method of PEFT, github.com/huggingface/peft)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import PeftTuner

from swift_core import SwiftError, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class TrainableTokens(PeftTuner):
    """Trains the embedding rows of the tokens given, and no others."""

    trainable_token_indices: list[int] = option([], "Ids of the tokens.")
    trainable_tokens: list[str] = option([], "The tokens as text; each must be one token of the tokenizer.")

    def peft_config(self, job: Job, model: Any) -> Any:
        """The config of the named tokens. Raises SwiftError where none is named."""
        import peft

        ids = [*self.trainable_token_indices, *self.ids(job)]
        if not ids:
            raise SwiftError("Which tokens shall train? Say --trainable_tokens '<one>' '<two>', or their ids.")
        return peft.TrainableTokensConfig(
            token_indices=ids, target_modules=embeddings_name(model), task_type="CAUSAL_LM"
        )

    def ids(self, job: Job) -> list[int]:
        """The ids of `trainable_tokens`; SwiftError for a text that is not one token."""
        if not self.trainable_tokens:
            return []
        if job is None or not job.many("model"):
            raise SwiftError("Without a model's folder there is no tokenizer; give --trainable_token_indices.")
        path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
        config = job.hook.load_config(job=job, path=path)
        processor = job.hook.load_processor(job=job, path=path, config=config)
        tokenizer = getattr(processor, "tokenizer", processor)
        return [one_id(tokenizer, text) for text in self.trainable_tokens]


def one_id(tokenizer: Any, text: str) -> int:
    """The id of a text that is one token. Raises SwiftError where it is several."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise SwiftError(f"--trainable_tokens {text!r} is {len(ids)} tokens in this tokenizer; name single tokens.")
    return int(ids[0])


def embeddings_name(model: Any) -> str:
    """Dotted name of the input embeddings."""
    embeddings = model.get_input_embeddings()
    return next(name for name, module in model.named_modules() if module is embeddings)
