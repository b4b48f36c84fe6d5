"""Queries and documents judged together: as question and answer by a head, or in one question by yes or no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError
from swift_core.contract.row import Row

PROMPT = "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
"""How Qwen3 Reranker (arXiv 2506.05176) asks."""


def answered(row: Row, document: str) -> Row:
    """The row's query with a document as its answer."""
    asked = row.prompt()
    return asked.with_messages([*asked.messages, {"role": "assistant", "content": document}])


@dataclass(frozen=True)
class Judge:
    """A language model as a reranker: it is asked whether a document fits, and the odds of yes are the score.

    ids: the tokens of yes and no. prompt: the question, of {instruction}, {query} and {document}.
    """

    ids: tuple[int, int]
    prompt: str = PROMPT
    instruction: str = INSTRUCTION

    @classmethod
    def of(cls, tokenizer: Any, positive_token: str = "yes", negative_token: str = "no", **wording: str) -> Judge:
        """From the two words, each of which must be one token of the model."""
        return cls((one_token(tokenizer, positive_token), one_token(tokenizer, negative_token)), **wording)

    def question(self, row: Row) -> Row:
        """A query with a document as its answer, turned into one question about both.

        Raises SwiftError where the row does not end in such a pair.
        """
        if [message["role"] for message in row.messages[-2:]] != ["user", "assistant"]:
            raise SwiftError(f"{row.where}: a reranker is given a query, and a document as its answer.")
        *before, query, document = row.messages
        parts = {"instruction": self.instruction, "query": query["content"], "document": document["content"]}
        asked = self.prompt
        for name in parts:
            asked = asked.replace("{" + name + "}", f"\0{name}\0")
        for name, text in parts.items():
            asked = asked.replace(f"\0{name}\0", str(text))
        return row.with_messages([*before, {"role": "user", "content": asked}])

    def scores(self, model: Any, inputs: dict[str, Any]) -> Any:
        """log p(yes) - log p(no) as the answer's first token, [texts, 1], in float32; inputs padded on the right."""
        import torch

        from swift_plugin_runtime.loading.layers import keeps_logits

        last = inputs["attention_mask"].sum(1) - 1
        rows = torch.arange(len(last), device=last.device)
        if keeps_logits(model):
            places, which = last.unique(return_inverse=True)
            logits = model(**inputs, logits_to_keep=places, use_cache=False).logits[rows, which]
        else:  # virtual tokens may stand before the row
            logits = model(**inputs, use_cache=False).logits[:, -inputs["input_ids"].shape[1] :][rows, last]
        yes, no = logits[:, list(self.ids)].float().T
        return (yes - no)[:, None]


def one_token(tokenizer: Any, word: str) -> int:
    """The id of a word that is one token; SwiftError where it is several."""
    ids = tokenizer.encode(word, add_special_tokens=False)
    if len(ids) != 1:
        raise SwiftError(
            f"The word {word!r} is {len(ids)} tokens of this model; say --positive_token and --negative_token."
        )
    return int(ids[0])
