"""FSDP2 keeps the contract of its kind, and processes of which only some have a picture take the same steps.

Whole jobs, saved and resumed, are tested with the launcher; every method in tests/test_whole_runs.py.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import transformers
from swift_testing import ParallelContract
from swift_testing.conformance import mixed_ranks
from swift_testing.processes import Processes

from swift_core.api import run
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.checkpoints import SHARDS, checkpoints, damage

sys.path.insert(0, str(Path(__file__).parent))

import sharded_runs


class TestFsdp(ParallelContract):
    name = "fsdp"
    options = {"fsdp": True}


FAMILIES = {
    "qwen2_vl": "image",
    "llava1_5_hf": "image",
    "gemma3_vision": "image",
    "llama3_2_vision": "image",
    "qwen2_audio": "audio",
    "ernie_vl": "image",
    "qwen2_vl, video": "video",
    "qwen2_5_vl, video": "video",
    "llava_next_video_hf, video": "video",
    "qwen2_vl, both": "image video",
    "llava_next_video_hf, both": "image video",
}
"""One of each way in which media reach a model → its media: grids and positions along three axes, plain features,
attention in both directions within a picture, cross-attention, sound, weights that are rearranged while they load,
frames (in windows, pooled), and a picture in one process while the other has frames.
`python -m swift_testing.conformance --ranks` tries one family of every class."""

WAYS = {
    "ddp": {},
    "ddp, recomputing": {"gradient_checkpointing": True},
    "fsdp": {"fsdp": True},
    **({"zero3": {"deepspeed": "zero3"}} if os.environ.get("SWIFT_TEST_DEEPSPEED") else {}),
}
ALWAYS = {
    ("qwen2_vl", "ddp"),
    ("llava1_5_hf", "ddp, recomputing"),
    *((case, "fsdp") for case, media in FAMILIES.items() if "video" not in media and case != "ernie_vl"),
}
"""What `make test` runs. `make test-parallel` runs every family in every way, `make test-deepspeed` under ZeRO 3."""

WIDE = bool(os.environ.get("SWIFT_TEST_WIDE"))
READY = [c for c, media in FAMILIES.items() if "video" not in media or find_spec("torchvision")]
CASES = [(family, way) for family in READY for way in WAYS if WIDE or way == "zero3" or (family, way) in ALWAYS]


def family_of(case):
    return case.partition(",")[0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A function from a case to its folder and what one process learns there, once."""

    @functools.cache
    def learnt(case):
        folder = tmp_path_factory.mktemp(family_of(case))
        mixed_ranks.write(family_of(case), FAMILIES[case].split(), folder)
        return str(folder), mixed_ranks.moved(family_of(case), str(folder), "alone", 2)

    return learnt


@pytest.mark.parametrize(("case", "way"), CASES)
def test_one_process_has_the_medium(two, alone, case, way):
    folder, expected = alone(case)
    for found in two.call(mixed_ranks.moved, family_of(case), folder, way.replace(", ", "-"), 1, **WAYS[way]):
        assert not mixed_ranks.apart(found, expected)


def test_weights_that_are_rearranged_while_they_load_are_not_read_in_parts():
    """MiniMax M3 joins what a checkpoint has in several pieces; Qwen3-MoE's experts are gathered whole."""
    from swift_plugin_runtime.training.parts import rearranges
    from swift_testing.shrink import tiny_config

    for name, expected in (("MiniMaxM3SparseForConditionalGeneration", True), ("Qwen3MoeForCausalLM", False)):
        made = getattr(transformers, name)
        assert rearranges(made, tiny_config(made.config_class, 100, iter(range(100)))) is expected


def test_weights_of_4_bits_are_read_and_trained_in_parts(two, tmp_path):
    """QLoRA: a process never holds more than its part of what is packed, and learns what one alone learns."""
    sharded_runs.write(tmp_path, hidden_size=64)
    place, way = str(tmp_path), {"quantizer": "bnb"}
    learns = {**way, "tuner": "lora", "save_steps": 4}
    alone = sharded_runs.losses(place, "alone", 2, **learns)
    whole, packed = sharded_runs.read(place, **way)
    for held, part in two.call(sharded_runs.read, place, fsdp=True, **way):
        assert part == packed / 2
        assert held == pytest.approx(whole / 2, rel=0.01)
    first, other = two.call(sharded_runs.learnt, place, "split", 1, fsdp=True, **learns)
    for found, _ in (first, other):
        assert found == pytest.approx(alone, rel=1e-5)
    assert first[1] and all("lora_" in name for name in first[1])  # nothing else is made whole to be saved
    assert not other[1]
    folders = [tmp_path / name / "checkpoint-4" for name in ("alone", "split")]
    assert apart(*folders, "adapter_model.safetensors") < 1e-5


def test_packed_weights_that_cannot_be_split_are_refused(tmp_path):
    sharded_runs.write(tmp_path)
    given = {"model": str(tmp_path / "base"), "tuner": "lora", "launcher": "torchrun", "quantizer": "bnb"}
    for options, words in (
        ({"fsdp": True, "quant_bits": 8}, "quantizer 'bnb' .* cannot be split. Leave --fsdp out, or take 4 bits"),
        ({"tensor_parallel_size": 2}, "does not support tensor: a part of a matrix product"),
    ):
        with pytest.raises(SwiftError, match=words):
            checked({**given, **options})


def checked(options):
    job = prepare("sft", [Given(key, value, "test") for key, value in options.items()])
    job.hook.check_job(job=job)


def test_a_tuner_that_saves_nothing_says_that_the_whole_model_holds_it(two, tmp_path):
    """Of a split model the adapters alone are gathered; a whole one is written as it is."""
    sharded_runs.write(tmp_path)
    place = str(tmp_path)
    told = (
        "No tuner of this job saves what it trained, and the model is split, so that the adapters alone were gathered. "
        "A tuner whose save_tuner leaves that to the whole model says `trains_whole_weights = True`."
    )
    assert two.call(sharded_runs.saved, place, "Silent", fsdp=True)[0] == (told, False)
    assert two.call(sharded_runs.saved, place, "Declared", fsdp=True)[0] == ("", True)
    assert sharded_runs.saved(place, "Silent", torch_dtype="bfloat16", master_weights="model") == ("", True)


# -- checkpoints in shards ------------------------------------------------------------------------------------
heavy = pytest.mark.skipif(os.environ.get("SWIFT_TEST_ELASTIC") != "1", reason="make test-elastic")


def joined(folder, name, step=4):
    """The folder of a run's checkpoint with its shards joined."""
    return Path(
        run("export", ckpt_dir=f"{folder}/{name}/checkpoint-{step}", consolidate=True)["folders"]["consolidate"]
    )


def apart(one, other, file="model.safetensors"):
    """The largest difference between two checkpoints' weights."""
    from safetensors.torch import load_file

    a, b = load_file(one / file), load_file(other / file)
    assert a.keys() == b.keys()
    return max(float((a[key].float() - b[key].float()).abs().max()) for key in a)


def test_shards_go_on_under_any_number_of_processes_and_are_joined(two, tmp_path):
    """Written by two processes (DDP), read by two that split the model, and by one; a whole run is the measure."""
    sharded_runs.write(tmp_path)
    place = str(tmp_path)
    whole = sharded_runs.losses(place, "whole", 2)
    (first, _) = two.call(sharded_runs.losses, place, "shards", 1, async_save=True)
    assert first == pytest.approx(whole, abs=1e-5)
    written = tmp_path / "shards" / "checkpoint-2"
    assert len(list((written / SHARDS).glob("*.distcp"))) == 2 and not (written / "config.json").exists()
    sharded_runs.stopped(tmp_path, "shards", 2, "split")
    more = {"async_save": True, "resume_from_checkpoint": "last"}
    for losses in two.call(sharded_runs.losses, place, "split", 1, fsdp=True, **more):
        assert losses == pytest.approx(whole, abs=1e-5)
    sharded_runs.stopped(tmp_path, "split", 4, "one")
    longer = sharded_runs.losses(place, "whole-longer", 2, max_steps=6)
    assert sharded_runs.losses(place, "one", 2, max_steps=6, **more) == pytest.approx(longer, abs=1e-5)
    for name in ("shards", "split"):
        assert apart(joined(tmp_path, name), tmp_path / "whole" / "checkpoint-4") < 2e-5
    assert apart(joined(tmp_path, "one", 6), tmp_path / "whole-longer" / "checkpoint-6") < 2e-5
    with pytest.raises(SwiftError, match="Join them first: swift export"):
        run("merge-lora", ckpt_dir=str(written))
    with pytest.raises(SwiftError, match="Join them first: swift export"):
        sharded_runs.losses(place, "no", 1, model=str(written))


HALF = {"torch_dtype": "bfloat16", "learning_rate": 1e-5}


def test_processes_stay_in_step_with_masters_beside_the_weights(two, tmp_path):
    """DDP, bfloat16, masters in the optimizer: all processes hold the same bits, also after a stop."""
    sharded_runs.write(tmp_path)
    first, second = two.call(sharded_runs.marks, str(tmp_path), "whole", 1, **HALF)
    assert first == second and any(name.startswith("master of") for name in first)
    sharded_runs.stopped(tmp_path, "whole", 2, "stopped")
    go_on = {"resume_from_checkpoint": "last"}
    assert two.call(sharded_runs.marks, str(tmp_path), "stopped", 1, **HALF, **go_on) == [first, first]


@heavy
@pytest.mark.parametrize("way", [{}, {"fsdp": True}], ids=["ddp", "fsdp"])
def test_rounded_weights_and_masters_are_those_of_a_whole_checkpoint(two, tmp_path, way):
    """bfloat16: float32 masters in the optimizer (DDP) or the shards (FSDP2); the same bytes, also across a stop."""
    sharded_runs.write(tmp_path)
    two.call(sharded_runs.losses, str(tmp_path), "whole", 1, **HALF, **way)
    two.call(sharded_runs.losses, str(tmp_path), "shards", 1, **HALF, **way, async_save=True)
    sharded_runs.stopped(tmp_path, "shards", 2, "stopped")
    more = {"async_save": True, "resume_from_checkpoint": "last"}
    two.call(sharded_runs.losses, str(tmp_path), "stopped", 1, **HALF, **way, **more)
    files = [joined(tmp_path, name) / "model.safetensors" for name in ("shards", "stopped")]
    expected = (tmp_path / "whole" / "checkpoint-4" / "model.safetensors").read_bytes()
    assert [file.read_bytes() == expected for file in files] == [True, True]
    other = {} if way else {"fsdp": True}
    sharded_runs.stopped(tmp_path, "shards", 2, "other")
    two.call(sharded_runs.losses, str(tmp_path), "other", 1, **HALF, **other, **more)
    assert apart(joined(tmp_path, "other"), files[0].parent) < 1e-2  # another rounding: a step of bfloat16 at 1


@heavy
@pytest.mark.parametrize("way", [{}, {"fsdp": True}], ids=["ddp", "fsdp"])
def test_adapters_stay_files_and_their_optimizer_goes_on(two, tmp_path, way):
    lora = {"tuner": "lora", "learning_rate": 1e-2}
    sharded_runs.write(tmp_path)
    two.call(sharded_runs.losses, str(tmp_path), "whole", 1, **lora, **way)
    two.call(sharded_runs.losses, str(tmp_path), "shards", 1, **lora, **way, async_save=True)
    more = {"async_save": True, "resume_from_checkpoint": "last"}
    file = "adapter_model.safetensors"
    whole = tmp_path / "whole" / "checkpoint-4"
    for name, size, call in (("two", 1, two.call), ("one", 2, None)):
        sharded_runs.stopped(tmp_path, "shards", 2, name)
        if call:
            call(sharded_runs.losses, str(tmp_path), name, size, **lora, **way, **more)
        else:
            sharded_runs.losses(str(tmp_path), name, size, **lora, **more)
        assert apart(tmp_path / name / "checkpoint-4", whole, file) < 1e-5, name
    assert not (whole.with_name("checkpoint-4") / SHARDS).exists()
    run(
        "export",
        ckpt_dir=str(tmp_path / "shards" / "checkpoint-4"),
        merge_lora=True,
        output_dir=str(tmp_path / "merged"),
    )


@heavy
@pytest.mark.parametrize("way", [{}, {"fsdp": True}], ids=["ddp", "fsdp"])
def test_kill_9_while_shards_are_written_loses_nothing(tmp_path, way):
    """Both processes are killed once shards of a later checkpoint lie there; the newest whole one goes on."""
    sharded_runs.write(tmp_path)
    place, steps = str(tmp_path), {"max_steps": 8, "async_save": True}
    with Processes(2) as unharmed:
        unharmed.call(sharded_runs.losses, place, "whole", 1, **steps, **way)
    torn = 0
    for attempt in range(4):
        doomed = Processes(2)
        calling = threading.Thread(
            target=failing, args=(doomed, place, {**steps, **way, "resume_from_checkpoint": "auto"}), daemon=True
        )
        calling.start()
        seen = {p.name for p in checkpoints(tmp_path / "killed")}
        until(lambda seen=seen, calling=calling: not calling.is_alive() or being_written(tmp_path / "killed") - seen)
        time.sleep(0.002 * attempt)
        for process in doomed.running:
            os.kill(process.pid, signal.SIGKILL)
        calling.join(60)
        doomed.close()
        torn += any((tmp_path / "killed").glob(".saving/*"))
        assert [damage(folder) for folder in (tmp_path / "killed").glob("checkpoint-*")] == [None] * len(
            list((tmp_path / "killed").glob("checkpoint-*"))
        )
    assert torn
    with Processes(2) as last:
        last.call(sharded_runs.losses, place, "killed", 1, **steps, **way, resume_from_checkpoint="auto")
    files = [joined(tmp_path, name, 8) / "model.safetensors" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def failing(processes, place, options):
    with pytest.raises(AssertionError, match=r"ended|failed"):
        processes.call(sharded_runs.losses, place, "killed", 1, **options)


def being_written(folder):
    return {path.parent.parent.name for path in folder.glob(f".saving/*/{SHARDS}/*.distcp")}


def until(true):
    end = time.monotonic() + 200
    while not true():
        assert time.monotonic() < end
        time.sleep(0.0005)
