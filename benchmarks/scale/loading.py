"""What a process takes to read a model that 1, 2 or 4 processes split (FSDP2, ZeRO 3), until it is ready to train.

The most of its own memory (Linux: RssAnon, sampled) above what it had before: files that are mapped do not count, and
malloc gives back at once what is freed. ZeRO 3 is measured where DeepSpeed is installed (see `make test-deepspeed`).
"""

from __future__ import annotations

import gc
import importlib.util
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.scale.fit import Curve, measured

PROCESSES = (1, 2, 4)
TUNERS = {"full": {"tuner": "full"}, "lora": {"tuner": "lora"}, "qlora": {"tuner": "lora", "quantizer": "bnb"}}
STRATEGIES = {"fsdp": {"fsdp": True}, "zero3": {"deepspeed": "zero3", "launcher": "torchrun"}}
SIZES = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 12}
"""A model of 69 million weights in float32; a block is a tenth of it, each end a twelfth."""

PACKED = {**SIZES, "num_hidden_layers": 24, "vocab_size": 1000}
"""For weights of 4 bits, of which the ends have none: 170 million weights, nearly all of them in blocks."""

SMALL = {"hidden_size": 48, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 12}
"""Read first, so that what is imported on the way does not count."""


def curves(largest: int) -> list[Curve]:
    """MiB that each process takes, for whole weights, an adapter, and one on weights of 4 bits. largest: processes."""
    from swift_testing.processes import Processes

    theory = "near -1: a part, and one block at a time"
    ways = [w for w in STRATEGIES if w != "zero3" or importlib.util.find_spec("deepspeed")]
    found = {
        (way, tuner): Curve(f"loading, {way}, {tuner}: most memory", "processes", "MiB", theory)
        for way in ways
        for tuner in TUNERS
    }
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(1 << 16)  # of the processes to be started: what is freed is given back
    with tempfile.TemporaryDirectory() as place:
        small, folders = f"{place}/small", {tuner: f"{place}/{tuner == 'qlora'}" for tuner in TUNERS}
        write(small, SMALL)
        for tuner, sizes in (("lora", SIZES), ("qlora", PACKED)):
            print(f"the weights, {tuner}: {write(folders[tuner], sizes) / 2**20:.0f} MiB in float32")
        for count in (c for c in PROCESSES if c <= largest):
            with Processes(count) as processes:
                for (way, tuner), curve in found.items():
                    processes.call(load, small, way, tuner)
                    taken = max(processes.call(load, folders[tuner], way, tuner))
                    measured(curve, [count], lambda _, t=taken: t / 2**20)
    return list(found.values())


def write(folder: str, sizes: dict[str, int]) -> int:
    """A random model and its tokenizer; returns the bytes of its weights."""
    import torch
    import transformers
    from swift_testing.tiny import SAMPLE_TEXTS, build_tokenizer

    tokenizer = build_tokenizer(SAMPLE_TEXTS, {"<s>": None, "</s>": None, "<pad>": None}, 300, bos="<s>", eos="</s>")
    torch.manual_seed(0)
    shape = {"vocab_size": 8000, "num_key_value_heads": 12, "tie_word_embeddings": False, **sizes}
    config = transformers.LlamaConfig(**shape)
    transformers.LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="200MB")
    tokenizer.save_pretrained(folder)
    return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))


def load(folder: str, way: str, tuner: str) -> int:
    """The most bytes that this process took until the model was ready to train."""
    import torch.distributed as dist

    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import attach_tuners, load_model

    if not dist.is_initialized():
        dist.init_process_group("gloo")
    given = {"model": folder, "model_type": "llama", "device": "cpu", "torch_dtype": "float32"}
    given |= {**TUNERS[tuner], **STRATEGIES[way]}
    job = prepare("sft", [Given(key, value, "benchmark") for key, value in given.items()])
    gc.collect()
    dist.barrier()
    with Sampled() as taken:
        SPLITS[way](job, attach_tuners(job, load_model(job)[0]))
    return taken.most


def by_fsdp(job: Any, model: Any) -> None:
    """The model as FSDP2 trains it."""
    import torch
    from swift_plugin_runtime.training.mesh import meshes_of
    from swift_plugin_runtime.training.sharding import shard

    shard(model, meshes_of(job, torch.device("cpu")).splitting)


def by_zero(job: Any, model: Any) -> None:
    """The weights as DeepSpeed keeps them under ZeRO 3."""
    from swift_plugin_runtime.options import deepspeed_settings
    from swift_plugin_runtime.training import zero
    from transformers.integrations.deepspeed import HfDeepSpeedConfig

    float32 = {"bf16": {"enabled": False}, "fp16": {"enabled": False}}
    zero.split(model, HfDeepSpeedConfig({**(deepspeed_settings(job) or {}), **float32}))


SPLITS = {"fsdp": by_fsdp, "zero3": by_zero}


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
