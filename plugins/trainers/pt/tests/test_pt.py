"""Pre-training keeps the trainer contract on plain texts, and trains every token of them."""

from swift_testing import TokenInvariants
from swift_testing.contracts import tiny_model

TEXTS = [{"response": "def add(a, b): return a + b"}, {"response": "今天北京的天气很好。"}] * 4


class TestContract(TokenInvariants):
    """Runs, saves and resumes; how texts are cut and laid out does not matter."""

    name = "pt"
    rows = TEXTS
    options = {"template": "plain", "tuner": ["full"]}

    def test_every_token_of_a_text_is_trained(self) -> None:
        from swift_core.data.convert import to_row
        from swift_core.jobs.steps import load_model

        job = self.job(model=tiny_model("qwen2"))
        _, processor = load_model(job)
        row = job.hook.encode(job=job, rows=[to_row(dict(TEXTS[0]))], processor=processor, generation=False)[0]
        assert row["labels"] == [-100, *row["input_ids"][1:]]  # nothing predicts the first token
        assert processor.decode(row["input_ids"]) == TEXTS[0]["response"] + processor.eos_token
