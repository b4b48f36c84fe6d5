"""One contestant of `benchmarks.serving`, a process of its own: TASK NAME FOLDER TYPE; its last line is its report."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from benchmarks.serving.material import mixed, prompt
from swift_core.contract.engine import Request
from swift_core.job.options import Given
from swift_core.job.prepare import prepare


def main() -> None:
    """Run the task and print its figure."""
    task, name, folder = sys.argv[1:4]
    print(json.dumps({"figure": TASKS[task](name, folder)}))


def started(folder: str, admits: bool = True, size: int = 24, **options: Any) -> Any:
    """The engine that `swift deploy` starts; without admission it answers in static batches."""
    said = {"model": folder, "template": "chatml", "torch_dtype": sys.argv[4], "max_batch_size": size, **options}
    job = prepare("deploy", [Given(key, value, "benchmark") for key, value in said.items()])
    engine = job.hook.start_engine(job=job)
    engine.ending = type(engine.ending)((), ())  # an answer has the length that was asked for
    if not admits:
        engine.continuous = None
    engine.generate([asked(prompt(16, 99), 4)])  # what is compiled or laid out at first use
    return engine


def asked(ids: list[int], count: int, **more: Any) -> Request:
    """A request for `count` tokens."""
    return Request.of(prompt=ids, max_new_tokens=count, **more)


def all_at_once(name: str, folder: str) -> float:
    """Tokens of answers per CPU second, for requests that all wait at the start."""
    requests = mixed()
    if name in BY_HAND:
        return BY_HAND[name](folder, requests)
    engine = started(folder, admits=name == "admission", size=8 if name == "static" else 24)
    begun = time.process_time()
    replies = engine.generate([asked(ids, count) for ids, count in requests])
    return sum(len(reply.ids) for reply in replies) / (time.process_time() - begun)


def by_backend(name: str, folder: str) -> float:
    """Tokens of answers per CPU second of this process and all that it started, by a backend at its defaults."""
    import psutil

    def spent() -> float:
        here = psutil.Process()
        return sum(sum(p.cpu_times()[:2]) for p in [here, *here.children(recursive=True)])

    if name in BY_HAND:
        return BY_HAND[name](folder, mixed())
    given: dict[str, Any] = {"model": folder, "template": "chatml", "torch_dtype": sys.argv[4]}
    if name != "admission":
        given["backend"] = name
    if name == "llamacpp":
        given["llamacpp_type"] = {"float32": "f32", "bfloat16": "bf16"}[sys.argv[4]]
    job = prepare("deploy", [Given(key, value, "benchmark") for key, value in given.items()])
    engine = job.hook.start_engine(job=job)
    engine.generate([asked(prompt(16, 99), 4)])
    begun = spent()
    replies = engine.generate([asked(ids, count) for ids, count in mixed()])
    seconds = spent() - begun
    engine.close()
    return sum(reply.completion_tokens for reply in replies) / seconds


def loaded(folder: str) -> Any:
    """The model as transformers gives it, that has answered once."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, sys.argv[4])).eval()
    generated(model, [(prompt(16, 99), 4)])
    return model


def generated(model: Any, batch: list[tuple[list[int], int]]) -> None:
    """Greedy answers by `generate`, to the longest one that is asked for; prompts are padded on the left."""
    longest = max(len(ids) for ids, _ in batch)
    rows = [[0] * (longest - len(ids)) + ids for ids, _ in batch]
    seen = [[0] * (longest - len(ids)) + [1] * len(ids) for ids, _ in batch]
    model.generation_config.eos_token_id = None
    model.generate(
        torch.tensor(rows), attention_mask=torch.tensor(seen), do_sample=False, pad_token_id=0,
        max_new_tokens=max(count for _, count in batch),
    )  # fmt: skip


def by_generate(folder: str, requests: list[tuple[list[int], int]]) -> float:
    """The same by transformers' `generate`, eight at a time."""
    model = loaded(folder)
    spent = seconds(lambda: [generated(model, requests[at : at + 8]) for at in range(0, len(requests), 8)])
    return sum(count for _, count in requests) / spent


def by_transformers(folder: str, requests: list[tuple[list[int], int]]) -> float:
    """The same by transformers' continuous batching, its cache as small as the work allows."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, sys.argv[4]))
    config = transformers.ContinuousBatchingConfig(
        num_blocks=64, page_size=256, max_batch_tokens=256, max_requests_per_batch=24, use_async_batching=False,
        use_cuda_graph=False, auto_switch_to_flash=False, allow_block_sharing=False,
    )  # fmt: skip
    settings = transformers.GenerationConfig(max_new_tokens=200, do_sample=False, eos_token_id=-1, pad_token_id=0)
    begun, tokens, left = time.process_time(), 0, len(requests)
    manager = model.init_continuous_batching(generation_config=settings, continuous_batching_config=config)
    manager.start()
    for ids, count in requests:
        manager.add_request(ids, max_new_tokens=count)
    while left:
        result = manager.get_result(timeout=5)
        if result is None and not manager.is_running():
            raise SystemExit("transformers' continuous batching stopped")
        if result is not None and result.is_finished():
            tokens, left = tokens + len(result.generated_tokens), left - 1
    seconds = time.process_time() - begun
    manager.stop()
    return tokens / seconds


def latency(name: str, folder: str) -> float:
    """CPU seconds of a request for 4 tokens sent 0.5 s after one for 300, in times of what it takes alone."""
    engine = started(folder, admits=name == "admission")
    alone = seconds(lambda: engine.submit(asked(prompt(30, 2), 4)).result())
    long = engine.submit(asked(prompt(30, 3), 300, ignore_eos=True))
    time.sleep(0.5)
    beside = seconds(lambda: engine.submit(asked(prompt(30, 1), 4)).result())
    if name == "admission" and long.done():
        sys.exit("the long answer had ended before the short one: nothing was measured")
    long.cancel()
    return beside / alone


def prefix(name: str, folder: str) -> float:
    """CPU seconds to the first token of a second prompt that begins with the 300 tokens of the first."""
    common = prompt(300, 1)
    if name == "generate":
        model = loaded(folder)
        return seconds(lambda: generated(model, [([*common, *prompt(20, 3)], 1)]))
    engine = started(folder)
    engine.generate([asked([*common, *prompt(20, 2)], 1)])
    if name == "apart":
        engine.forget()
    return seconds(lambda: engine.generate([asked([*common, *prompt(20, 3)], 1)]))


def adapters(name: str, folder: str) -> float:
    """CPU ms a step of 12 sequences: all by one adapter, or by two and the base model mixed."""
    import tempfile

    from swift_testing.serving import random_lora

    with tempfile.TemporaryDirectory() as place:
        loras = [f"{label}={random_lora(folder, Path(place, label), seed)}" for seed, label in enumerate("ab")]
        engine = started(folder, adapters=loras)
    names = [None, "a", "b"] * 4 if name == "mixed" else ["a"] * 12
    steps = 30
    requests = [asked(prompt(8, n), steps, adapter=who) for n, who in enumerate(names)]
    engine.generate([request.drawn(max_new_tokens=2) for request in requests])
    return seconds(lambda: engine.generate(requests)) / steps * 1000


def seconds(work: Any) -> float:
    """CPU seconds that this process spends on it."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


BY_HAND = {"generate": by_generate, "transformers": by_transformers}

TASKS = {"mixed": all_at_once, "latency": latency, "prefix": prefix, "adapters": adapters, "backends": by_backend}

if __name__ == "__main__":
    main()
