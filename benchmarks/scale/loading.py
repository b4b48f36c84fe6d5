"""What a process takes to read a model that 1, 2 or 4 processes split (FSDP2), until it is ready to train.

The most of its own memory (Linux: RssAnon, sampled) above what it had before: files that are mapped do not count.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.scale.fit import Curve, measured

PROCESSES = (1, 2, 4)
TUNERS = ("full", "lora")
SIZES = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 12, "num_attention_heads": 16}
"""A model of 169 million weights, 645 MiB in float32; the largest that one block and the ends take is a quarter."""


def curves(largest: int) -> list[Curve]:
    """MiB that each process takes, for whole weights and for an adapter. largest: processes."""
    from swift_testing.processes import Processes

    theory = "near -1: a part, and one block at a time"
    found = {t: Curve(f"loading, {t}: most memory", "processes", "MiB", theory) for t in TUNERS}
    with tempfile.TemporaryDirectory() as folder:
        size = write(folder)
        print(f"the weights: {size / 2**20:.0f} MiB")
        for count in (c for c in PROCESSES if c <= largest):
            for tuner, curve in found.items():
                with Processes(count) as processes:
                    taken = max(processes.call(load, folder, tuner))
                measured(curve, [count], lambda _, t=taken: t / 2**20)
                print(f"{tuner}, {count} processes: {taken / 2**20:.0f} MiB each")
    return list(found.values())


def write(folder: str) -> int:
    """A random model and its tokenizer; returns the bytes of its weights."""
    import torch
    import transformers
    from swift_testing.tiny import SAMPLE_TEXTS, build_tokenizer

    tokenizer = build_tokenizer(SAMPLE_TEXTS, {"<s>": None, "</s>": None, "<pad>": None}, 300, bos="<s>", eos="</s>")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=8000, num_key_value_heads=16, tie_word_embeddings=False, **SIZES)
    transformers.LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="200MB")
    tokenizer.save_pretrained(folder)
    return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))


def load(folder: str, tuner: str) -> int:
    """The most bytes that this process took until the model was ready to train."""
    import torch
    import torch.distributed as dist
    from swift_plugin_runtime.training.mesh import meshes_of
    from swift_plugin_runtime.training.sharding import shard

    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import attach_tuners, load_model

    if not dist.is_initialized():
        dist.init_process_group("gloo")
    split = {"fsdp": True} if dist.get_world_size() > 1 else {}
    given = {"model": folder, "model_type": "llama", "device": "cpu", "torch_dtype": "float32", "tuner": tuner, **split}
    job = prepare("sft", [Given(key, value, "benchmark") for key, value in given.items()])
    dist.barrier()
    with Sampled() as taken:
        model = attach_tuners(job, load_model(job)[0])
        if split:
            shard(model, meshes_of(job, torch.device("cpu")).splitting)
    return taken.most


class Sampled:
    """Inside, the most memory of this process's own above what it had, in bytes, is noted in `most`."""

    def __enter__(self) -> Sampled:
        self.before, self.most, self.ended = own_memory(), 0, False
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.ended = True
        self.thread.join()

    def _watch(self) -> None:
        while not self.ended:
            self.most = max(self.most, own_memory() - self.before)
            time.sleep(0.002)


def own_memory() -> int:
    """Bytes that belong to this process alone, without mapped files."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024
