"""SFT keeps the trainer's contract and invariants: batches, packs and padding do not matter."""

from swift_testing import TokenInvariants


class TestContract(TokenInvariants):
    """Runs, saves and resumes; how rows are cut and laid out does not matter."""

    name = "sft"
    rows = [
        {"query": "What is the answer?", "response": "It is here."},
        {"query": "add 1 2", "response": "3"},
        {"query": "天气怎么样?", "response": "今天天气很好。 Paris city Paris"},
    ]
