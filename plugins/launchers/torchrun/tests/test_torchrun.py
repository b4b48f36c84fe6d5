"""torchrun: two gloo processes train as one does, whole (DDP) and split (FSDP2); a dying one ends the job."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from swift_plugin_torchrun import agent
from swift_testing import LauncherContract, warm
from swift_testing.contracts import bare_model
from swift_testing.patching import patcher_in
from swift_testing.tiny import tiny_qwen2

from swift_core.api import run
from swift_core.cli import TOLD
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.checkpoints import checkpoints, damage

WORDS = "one two three four five six seven eight".split()


class TestTorchrun(LauncherContract):
    name = "torchrun"
    options = {"nproc_per_node": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny model and rows of uneven length, so that ranks train on different token counts."""
    folder = tmp_path_factory.mktemp("torchrun")
    tiny_qwen2(folder / "base", tie_word_embeddings=True)
    rows = [{"query": f"Count to {n}.", "response": " ".join(WORDS[:n])} for n in (1, 8, 2, 7, 3, 6, 4, 5)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


@pytest.fixture
def warmly(monkeypatch):
    """The launcher's processes are forks of one that has done the imports; how they start is not what is tested."""
    python = warm.python()
    monkeypatch.setenv("PYTHON_EXEC", python)  # what torchrun starts
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "executable", python)


def train(place, name, **changes):
    return run("sft", **{**options(place, name), **changes})


def options(place, name):
    return {
        "model": str(place / "base"), "dataset": [str(place / "rows.jsonl")], "output_dir": str(place / name),
        "tuner": ["full"], "device": "cpu", "torch_dtype": "float32", "learning_rate": 1e-3, "logging_steps": 1,
        "lr_scheduler_type": "constant", "warmup_ratio": 0, "max_steps": 4, "save_steps": 2,
    }  # fmt: skip


TWO = {"launcher": "torchrun", "nproc_per_node": 2, "per_device_train_batch_size": 2}


@pytest.fixture(scope="module")
def alone(place):
    """Losses and final weights of one process with the whole batch of 4 rows."""
    done = train(place, "alone", per_device_train_batch_size=4)
    return losses(place / "alone"), weights(done["checkpoint"])


def losses(folder):
    lines = [json.loads(line) for line in (folder / "logging.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def weights(checkpoint):
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()


def same(one, other):
    import torch

    return one.keys() == other.keys() and all(torch.allclose(one[k], other[k], atol=2e-5) for k in one)


@pytest.fixture(scope="module")
def asked(place):
    """What `NPROC_PER_NODE=2 swift sft …` said, in processes started as a user's: two with half the rows each."""
    given = {**options(place, "asked"), "per_device_train_batch_size": 2}
    (place / "asked.json").write_text(json.dumps(given))
    environment = {**os.environ, "NPROC_PER_NODE": "2", "OMP_NUM_THREADS": "1"}
    swift = [sys.executable, "-m", "swift_core", "sft", "--config", str(place / "asked.json")]
    done = subprocess.run(swift, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_environment_starts_two_processes(place, alone, asked):
    """A line says so, and two processes with half the rows each train as one does."""
    assert asked.count("The environment asks for several processes: --launcher torchrun --nproc_per_node 2.") == 1
    assert losses(place / "asked") == pytest.approx(alone[0], abs=1e-5)
    assert same(weights(place / "asked" / "checkpoint-4"), alone[1])
    assert len(list((place / "asked" / "checkpoint-4").glob("rng_state_*.pth"))) == 2  # one of each process


def test_what_the_environment_asks_for_and_what_wins(place, monkeypatch):
    def prepared(**said):
        return prepare("sft", [Given(k, v, "t") for k, v in {**options(place, "env"), **said}.items()])

    monkeypatch.setenv("MASTER_PORT", "29511")
    assert not prepared().many("launcher"), "An address alone starts nothing."
    for name, value in {"NPROC_PER_NODE": "2", "NNODES": "3", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    found = prepared().one("launcher")
    values = (found.nproc_per_node, found.nnodes, found.node_rank, found.master_addr, found.master_port)
    assert values == (2, "3", 1, "10.0.0.1", 29511)
    assert prepared(nproc_per_node=4).one("launcher").nproc_per_node == 4
    assert prepared(launcher="torchrun").one("launcher").nproc_per_node is None
    assert not prepared(launcher="none").many("launcher")
    monkeypatch.setenv("PET_NNODES", "1:4")
    monkeypatch.setenv("PET_MAX_RESTARTS", "3")
    monkeypatch.setenv("PET_RDZV_ENDPOINT", "10.0.0.2:29400")
    found = prepared().one("launcher")
    words = dict(zip(found.place()[::2], found.place()[1::2], strict=True))
    assert words["--nnodes"] == "1:4" and words["--max_restarts"] == "3"
    assert (words["--rdzv_backend"], words["--rdzv_endpoint"]) == ("c10d", "10.0.0.2:29400")
    for name in ("PET_NNODES", "PET_MAX_RESTARTS", "PET_RDZV_ENDPOINT"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("NPROC_PER_NODE", "many")
    with pytest.raises(SwiftError, match="--nproc_per_node many"):
        prepared()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert not prepared().many("launcher"), "A process that was started starts no others."


@pytest.mark.usefixtures("warmly")
def test_fsdp_splits_saves_and_resumes(place, alone, tmp_path, monkeypatch, capfd):
    """Two steps, and from their checkpoint two more, both in one pair of processes to import torch once."""
    split = {**options(place, "fsdp"), "fsdp": True, "per_device_train_batch_size": 2}
    jobs = [{**split, "max_steps": 2}, {**split, "resume_from_checkpoint": "last"}]
    body = f"from swift_core.api import run\nfor options in {jobs!r}:\n    run('sft', **options)\n"
    (tmp_path / "both.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    job = prepare("sft", [Given(k, v, "t") for k, v in {**options(place, "fsdp"), **TWO}.items()])
    assert job.hook.launch(job=job, command=["-m", "both"]) == 0

    said = capfd.readouterr().err
    held, whole = map(int, re.search(r"holds (\d+) of (\d+)", said).groups())
    assert whole == sum(v.numel() for k, v in alone[1].items() if k != "lm_head.weight")  # tied: counted once
    assert whole / 2 <= held < whole * 0.55
    assert losses(place / "fsdp") == pytest.approx(alone[0], abs=1e-5)
    for step in (2, 4):
        config = json.loads((place / "fsdp" / f"checkpoint-{step}" / "config.json").read_text())
        assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert same(weights(place / "fsdp" / "checkpoint-4"), alone[1])


@pytest.mark.usefixtures("warmly")
def test_bfloat16_weights_have_float32_masters_on_every_process(place, tmp_path, monkeypatch, capfd):
    """FSDP2's shards are the masters, also across a stop; under DDP every process rounds its copy alike."""
    import torch
    from safetensors.torch import load_file

    given = {**options(place, "half"), "torch_dtype": "bfloat16", "learning_rate": 1e-5, "warmup_ratio": 0}
    given |= {"per_device_train_batch_size": 2}
    whole, parts, ddp = (str(place / name) for name in ("half", "half-stopped", "half-ddp"))
    jobs = [
        {**given, "fsdp": True, "output_dir": whole},
        {**given, "fsdp": True, "output_dir": parts, "max_steps": 2},
        {**given, "fsdp": True, "output_dir": parts, "resume_from_checkpoint": "last"},
        {**given, "output_dir": ddp, "gradient_accumulation_steps": 2},
    ]
    body = f"from swift_core.api import run\nfor options in {jobs!r}:\n    run('sft', **options)\n"
    (tmp_path / "half.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    job = prepare("sft", [Given(k, v, "t") for k, v in {**given, **TWO}.items()])
    assert job.hook.launch(job=job, command=["-m", "half"]) == 0
    said = capfd.readouterr().err
    assert "float32 shards, gathered in the checkpoint's precision" in said and "float32 in the optimizer" in said

    start = {k: v.bfloat16() for k, v in load_file(place / "base" / "model.safetensors").items()}
    for folder in (whole, parts, ddp):
        saved = load_file(Path(folder, "checkpoint-4", "model.safetensors"))
        masters = load_file(Path(folder, "checkpoint-4", "master_weights.safetensors"))
        assert {v.dtype for v in saved.values()} == {torch.bfloat16} and saved.keys() == start.keys()
        assert {v.dtype for v in masters.values()} == {torch.float32}
        for name, master in masters.items():
            assert ((saved[name].float() - master).abs() <= master.abs() / 128 + 1e-40).all()
            assert 0 < (master - start[name].float()).abs().max() < 5e-5, name
        assert json.loads(Path(folder, "checkpoint-4", "config.json").read_text())["dtype"] == "bfloat16"
    for file in ("model.safetensors", "master_weights.safetensors"):
        one, other = (load_file(Path(folder, "checkpoint-4", file)) for folder in (whole, parts))
        assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture
def patcher(tmp_path, monkeypatch):
    return patcher_in(tmp_path, monkeypatch)


@pytest.mark.usefixtures("warmly")
def test_a_killed_process_is_replaced_and_nothing_shows(place, asked, tmp_path, patcher, monkeypatch, capfd):
    """Rank 1 is killed in the third step: both start anew from checkpoint-2, and end where two others do."""
    monkeypatch.setenv("KILLED", str(tmp_path / "killed"))
    killing = patcher(
        "killing",
        """
        seen, mark = [], pathlib.Path(os.environ["KILLED"])
        def count(module, _):
            seen.append(module.training)
            if os.environ["RANK"] == "1" and seen.count(True) == 3 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        model.register_forward_pre_hook(count)
        """,
    )
    done = train(place, "killed", **TWO, patcher=killing, max_restarts=1)
    assert (tmp_path / "killed").exists() and "going on from the newest whole checkpoint" in capfd.readouterr().err
    assert losses(place / "killed") == losses(place / "asked")
    folders = (place / "asked" / "checkpoint-4", Path(done["checkpoint"]))
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 1
    assert len(list(folders[1].glob("rng_state_*.pth"))) == 2  # one of each process


@pytest.mark.usefixtures("warmly")
def test_machines_that_share_no_folder_each_have_the_checkpoints(place, alone, tmp_path):
    """Two launchers, as on two machines, with an output folder each."""
    port, running = free_port(), []
    for number in (0, 1):
        given = {**options(place, f"machine-{number}"), "per_device_train_batch_size": 2, "launcher": "torchrun"}
        given |= {"nnodes": 2, "nproc_per_node": 1, "node_rank": number, "master_port": port}
        (tmp_path / f"{number}.json").write_text(json.dumps(given))
        swift = [sys.executable, "-m", "swift_core", "sft", "--config", str(tmp_path / f"{number}.json")]
        running.append(subprocess.Popen(swift, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=200)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert "each machine writes its own" in said[0]
    assert losses(place / "machine-0") == pytest.approx(alone[0], abs=1e-5)
    for folder in (place / "machine-0", place / "machine-1"):
        assert [p.name for p in checkpoints(folder)] == ["checkpoint-2", "checkpoint-4"]
        assert all(damage(p) is None for p in checkpoints(folder))
        assert same(weights(folder / "checkpoint-4"), alone[1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.usefixtures("warmly")
def test_a_dying_process_ends_the_job_with_its_error(place, patcher, capfd):
    body = """
        if os.environ["RANK"] == "1":
            raise RuntimeError("this machine is on fire")
        time.sleep(600)
        """
    with pytest.raises(SwiftError, match="ended with exit code 1"):
        train(place, "dying", **TWO, patcher=patcher("dying", body))
    said = capfd.readouterr().err
    assert "this machine is on fire" in said and "Process 1 failed first, with exit code 1" in said


def test_an_error_of_all_processes_is_told_once(monkeypatch, capfd):
    """Two processes meet the same mistake; the second may tell it, too, and does not."""
    monkeypatch.setenv(TOLD, "")
    body = "import sys, time\nfrom swift_core.cli import main\nsys.argv = ['swift', 'frob']\n"
    body += "try:\n    main()\nfinally:\n    time.sleep(1)\n"
    assert agent.main(["--standalone", "--nproc_per_node", "2", "--no_python", sys.executable, "-c", body]) == 2
    said = capfd.readouterr().err
    assert said.count("swift: There is no command 'frob'.") == 1 and "failed first, with exit code 2" in said


def test_sigterm_ends_the_processes_too(tmp_path):
    """Each process writes its id and waits; after SIGTERM to the launcher none of them runs."""
    (tmp_path / "waits.py").write_text(
        "import os, pathlib, time\npathlib.Path(os.environ['RANK'] + '.pid').write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    code = (
        "from swift_plugin_torchrun import Torchrun\nfrom types import SimpleNamespace as S\n"
        "Torchrun(nproc_per_node=2).launch(S(options=S()), ['-m', 'waits'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    until(lambda: len([f for f in tmp_path.glob("*.pid") if f.read_text()]) == 2)
    processes = [int(f.read_text()) for f in tmp_path.glob("*.pid")]
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(60) == 128 + signal.SIGTERM
    until(lambda: not any(Path(f"/proc/{p}").exists() for p in processes))


def until(true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("nothing happened for a minute")


def test_what_cannot_be_is_refused_before_anything_starts(place):
    with socket.socket() as taken:
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        for wrong, reason in (
            ({"fsdp": True}, "say how many: --launcher torchrun"),
            ({"fsdp": True, "deepspeed": "zero2", **TWO}, "choose one"),
            ({"node_rank": 1, **TWO}, "of 1 machines the last is 0"),
            ({"nnodes": "4:1", **TWO}, "the fewest and the most"),
            ({"nnodes": "many", **TWO}, "the fewest and the most"),
            ({"tensor_parallel_size": 3, **TWO}, "3 does not divide the 2 processes"),
            ({"sequence_parallel_size": 3, **TWO}, "3 does not divide the 2 processes"),
            ({"sequence_parallel_size": 4, "nnodes": "1:4", **TWO}, "4 does not divide the 2 processes"),
            ({"expert_parallel_size": 3, **TWO}, "3 must divide the 2 processes"),
            ({"fsdp": True, "hsdp": 3, **TWO}, "do not make 3 equal copies"),
            ({"master_port": port, **TWO}, "Choose another"),
        ):
            with pytest.raises(SwiftError, match=reason):
                train(place, "wrong", **wrong)
    with pytest.raises(SwiftError, match="cannot be split"):
        prepare("sft", [Given(k, v, "t") for k, v in {**options(place, "q"), "quantizer": "hqq", "fsdp": True}.items()])


def test_explain_shows_machines_processes_and_mesh(place):
    from swift_core.cli.work import explanation

    def lines(**said):
        job = prepare("sft", [Given(k, v, "t") for k, v in {**options(place, "mesh"), **said}.items()])
        text = explanation(job)
        return text[text.index("processes") + 1 : text.index("hooks, in order of the data") - 1]

    assert lines() == ["  1 process"]
    assert lines(launcher="torchrun") == ["  1 machine × one process per GPU", "  mesh: data"]
    asked = {"launcher": "torchrun", "nnodes": 2, "nproc_per_node": 8, "sequence_parallel_size": 4, "fsdp": True}
    assert lines(**asked) == [
        "  2 machines × 8 processes = 16",
        "  mesh: 4 data × 4 sequence",
        "  fsdp: each process holds a part of every weight",
    ]
    assert lines(launcher="torchrun", nnodes="1:4", nproc_per_node=2)[0] == "  1:4 machines × 2 processes = 2:8"
    assert "  3 does not divide 2 processes: the job is refused" in lines(**TWO, sequence_parallel_size=3)
    with pytest.raises(SwiftError, match="the fewest and the most"):
        lines(launcher="torchrun", nnodes="many", nproc_per_node=2)


def test_machines_of_one_run_share_its_folder_and_others_are_refused(tmp_path):
    """Each holds the folder until it leaves; the first alone looks what an earlier run left there."""
    from swift_core.jobs.output_folder import HOLDER, output_folder

    def machine(run="swift", rank=0):
        said = {"model": bare_model(), "output_dir": str(tmp_path), "rdzv_id": run, "node_rank": rank, "nnodes": "1:2"}
        return prepare("sft", [Given(k, v, "t") for k, v in {**said, "launcher": "torchrun"}.items()])

    second = output_folder(machine(rank=1))
    with output_folder(machine()):
        second.__enter__()
        (tmp_path / "checkpoint-2").mkdir()
        (tmp_path / "checkpoint-2" / "trainer_state.json").write_text("{}")
        with pytest.raises(SwiftError, match="is in use"), output_folder(machine(run="other")):
            pass
        with output_folder(machine(rank=1)):  # one that comes later does not mind the run's own checkpoints
            pass
    assert (tmp_path / HOLDER).exists()
    second.__exit__(None, None, None)
    assert not (tmp_path / HOLDER).exists()
    with pytest.raises(SwiftError, match="already holds checkpoint-2"), output_folder(machine()):
        pass
