"""Job files and commands of other programs, written in their form: what each word becomes, and that none gets lost."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml
from swift_plugin_convert.converting import converted
from swift_plugin_convert.draft import Draft
from swift_plugin_convert.reading import read
from swift_plugin_convert.tables import LAUNCHERS, PROGRAMS, UNSET, rows
from swift_plugin_convert.writing import summary, text_of
from typer.testing import CliRunner

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError
from swift_core.job.options import given_in, match_field
from swift_core.job.prepare import prepare
from swift_core.job.specs import JOBS

THEIRS = Path(__file__).parent / "theirs"

FILES = {
    "lf_lora_sft.yaml": ("LLaMA-Factory", "sft"),
    "lf_dpo_qlora.yaml": ("LLaMA-Factory", "rlhf"),
    "lf_full.yaml": ("LLaMA-Factory", "sft"),
    "lf_full_deepspeed.sh": ("LLaMA-Factory", "sft"),
    "lf_export.sh": ("LLaMA-Factory", "export"),
    "axolotl_qlora.yaml": ("Axolotl", "sft"),
    "axolotl_full.yaml": ("Axolotl", "sft"),
    "axolotl_dpo.yaml": ("Axolotl", "rlhf"),
    "axolotl_pretrain.yaml": ("Axolotl", "pt"),
    "trl_sft.sh": ("TRL", "sft"),
    "trl_grpo.sh": ("TRL", "rlhf"),
    "trl_dpo.sh": ("TRL", "rlhf"),
    "swift2.sh": ("ms-swift", "sft"),
    "swift3_grpo.sh": ("ms-swift", "rlhf"),
    "swift4.yaml": ("ms-swift", "sft"),
}


@pytest.fixture(scope="module")
def drafts() -> dict[str, Draft]:
    """Every file, converted once."""
    return {name: converted(read(THEIRS / name)) for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_whose_it_is_and_which_job(name: str, drafts: dict[str, Draft]) -> None:
    assert (drafts[name].program, drafts[name].job) == FILES[name]


@pytest.mark.parametrize("name", FILES)
def test_no_word_is_left_out(name: str, drafts: dict[str, Draft]) -> None:
    draft, theirs = drafts[name], read(THEIRS / name)
    told = [re.split(r"[.\[]", line.word)[0] for line in draft.lines if line.what != "default"]
    assert {*theirs.values, *theirs.environment, *theirs.launched} == set(told)
    text = text_of(draft, name, "job.yaml")
    for line in draft.of("lost"):
        assert line.why and f"#   {line.word}: " in text
    counted = sum(int(number) for number in re.findall(r"(\d+) (?:words|need|are|have)", summary(draft, "job.yaml")[0]))
    assert counted == len([line for line in draft.lines if line.what != "default"])


@pytest.mark.parametrize("name", FILES)
def test_the_job_file_is_a_job(
    name: str, drafts: dict[str, Draft], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is prepared as `swift explain` does, with their data and adapters in their places."""
    monkeypatch.chdir(tmp_path)
    row = json.dumps({"instruction": "a", "input": "", "output": "b"})
    for file in ("rows.jsonl", "data/rows.jsonl"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(row + "\n", encoding="utf-8")
    Path("rows.txt").write_text("text\n", encoding="utf-8")
    known = {n: {"file_name": "rows.jsonl"} for n in ("identity", "alpaca_en_demo", "dpo_en_demo")}
    Path("data/dataset_info.json").write_text(json.dumps(known), encoding="utf-8")
    content = yaml.safe_load(text_of(drafts[name], name, "job.yaml"))
    assert content == drafts[name].options
    content.pop("adapters", None)  # a folder that a run of theirs has made
    prepare(drafts[name].job, given_in(content, "job.yaml"))


OPTIONS = {
    "lf_lora_sft.yaml": {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "use_hf": True,
        "dataset": ["identity#1000", "alpaca_en_demo#1000"],
        "dataset_info": "data",
        "template": "qwen2_5",
        "tuner": "lora",
        "lora_rank": 16,
        "lora_alpha": 32,
        "target_modules": ["all"],
        "max_length": 4096,
        "dataset_num_proc": 16,
        "split_dataset_ratio": 0.1,
        "training_args": {"ddp_timeout": 180000000},
        "weight_decay": 0.0,
        "gradient_checkpointing": True,
        "adam_beta2": 0.999,
    },
    "lf_dpo_qlora.yaml": {
        "quantizer": "bnb",
        "quant_bits": 4,
        "bnb_4bit_use_double_quant": False,
        "loss_type": "ipo",
        "beta": 0.2,
        "rpo_alpha": 0.1,
        "tuner": ["lora", "neftune"],
        "target_modules": ["q_proj", "v_proj"],
        "modules_to_save": ["embed_tokens", "lm_head"],
        "attn_impl": "flash_attention_2",
        "report_to": ["swanlab"],
        "save_strategy": "no",
    },
    "lf_full_deepspeed.sh": {
        "tuner": "full",
        "deepspeed": "zero3",
        "launcher": "torchrun",
        "nnodes": 2,
        "node_rank": 0,
        "master_addr": "192.168.0.1",
        "packing": True,
        "torch_dtype": "bfloat16",
        "master_weights": "none",
        "gradient_checkpointing": False,
        "patcher": ["liger"],
        "optimizer": "adam8bit",
        "learning_rate": "1e-5",
        "template": "qwen3_nothinking",
    },
    "lf_export.sh": {"merge_lora": True, "output_dir": "saves/merged", "device": "cpu", "use_hf": True},
    "axolotl_qlora.yaml": {
        "dataset": ["tatsu-lab/alpaca", "rows.jsonl", "owner/own"],
        "columns": {"question": "instruction", "answer": "output"},
        "split_dataset_ratio": 0.05,
        "tuner": "lora",
        "quantizer": "bnb",
        "quant_bits": 4,
        "lora_rank": 32,
        "target_modules": "all-linear",
        "packing": True,
        "optimizer": "adam8bit",
        "adam8bit_paged": True,
        "attn_impl": "flash_attention_2",
        "per_device_train_batch_size": 2,
        "save_strategy": "epoch",
        "report_to": ["wandb"],
    },
    "axolotl_full.yaml": {
        "tuner": ["full"],
        "patcher": ["liger"],
        "liger_swiglu": True,
        "liger_fused_loss": True,
        "deepspeed": "zero2",
        "launcher": "torchrun",
        "training_args": {"adam_epsilon": 1e-8},
        "template": "chatml",
        "dataset_num_proc": 4,
        "seed": 7,
    },
    "axolotl_dpo.yaml": {"beta": 0.4, "target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    "axolotl_pretrain.yaml": {
        "streaming": True,
        "dataset": ["rows.txt"],
        "lr_scheduler_type": "cosine_with_min_lr",
        "training_args": {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    },
    "trl_sft.sh": {
        "dataset": "trl-lib/Capybara",
        "tuner": "lora",
        "lora_rank": 32,
        "target_modules": ["q_proj", "v_proj"],
        "quantizer": "bnb",
        "bnb_4bit_use_double_quant": False,
        "packing": True,
        "training_args": {"dataloader_drop_last": True},
        "push_to_hub": True,
        "lora_dropout": 0.05,
        "max_length": 1024,
    },
    "trl_grpo.sh": {
        "trainer": "grpo",
        "dataset": ["trl-lib/DeepMath-103K:/train"],
        "reward": "accuracy",
        "num_generations": 16,
        "loss_type": "dr_grpo",
        "scale_rewards": "none",
        "tuner": ["full"],
        "use_vllm": True,
    },
    "trl_dpo.sh": {
        "launcher": "torchrun",
        "nproc_per_node": 4,
        "beta": 0.05,
        "report_to": ["wandb"],
        "tuner": ["full"],
    },
    "swift2.sh": {
        "model_type": "qwen2-7b-instruct",
        "dataset": ["rows.jsonl"],
        "target_modules": "all-linear",
        "attn_impl": "flash_attention_2",
        "quantizer": "bnb",
        "deepspeed": "zero2",
        "launcher": "torchrun",
        "nproc_per_node": 2,
    },
    "swift3_grpo.sh": {
        "trainer": "grpo",
        "reward": ["accuracy", "format"],
        "tuner": "full",
        "max_pixels": 602112,
        "use_vllm": True,
        "cache_dataset": True,
    },
    "swift4.yaml": {
        "tuner": "lora",
        "agent": "hermes",
        "loss_scale": "last_round",
        "patcher": ["liger"],
        "packing": True,
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_the_words_become(name: str, drafts: dict[str, Draft]) -> None:
    said = drafts[name].options
    owner = JOBS[drafts[name].job].options_class()
    plain = {match_field(owner, key) or key: value for key, value in said.items()}
    assert {key: plain.get(key) for key in OPTIONS[name]} == OPTIONS[name]


LOST = {
    "lf_lora_sft.yaml": set(),
    "lf_dpo_qlora.yaml": {"rope_scaling", "ref_model"},
    "lf_full_deepspeed.sh": {"lora_rank"},
    "lf_export.sh": set(),
    "axolotl_qlora.yaml": {"datasets[2].split", "datasets[2].type.format", "evals_per_epoch"},
    "axolotl_full.yaml": {"batch_size", "group_by_length", "some_new_word"},
    "axolotl_dpo.yaml": set(),
    "axolotl_pretrain.yaml": set(),
    "trl_sft.sh": set(),
    "trl_grpo.sh": {"max_prompt_length", "CUDA_VISIBLE_DEVICES"},
    "trl_dpo.sh": {"max_prompt_length"},
    "swift2.sh": {"CUDA_VISIBLE_DEVICES"},
    "swift3_grpo.sh": {"external_plugins", "offload_optimizer"},
    "swift4.yaml": {"router_aux_loss_coef"},
}


@pytest.mark.parametrize("name", LOST)
def test_what_has_no_equal(name: str, drafts: dict[str, Draft]) -> None:
    assert {line.word for line in drafts[name].of("lost")} == LOST[name]


# -- what is easily lost ----------------------------------------------------------------------------------
SCRIPT = r"""#!/bin/bash
export WANDB_PROJECT=orders
MODEL=Qwen/Qwen3-8B  # don't ask
OUT="out/${NAME:-first}"
pip install trl -U && cd trl
nohup accelerate launch --config_file configs/deepspeed_zero3.yaml --num_processes 8 --num_machines 2 \
    --mixed_precision bf16 --machine_rank $RANK --debug trl/scripts/sft.py \
    --model_name_or_path $MODEL --dataset_name trl-lib/Capybara --dataset_config all --dataset_test_split held \
    --eval_strategy steps --no_remove_unused_columns --model_init_kwargs '{"a":
 1}' --output_dir "$OUT" > log.txt 2>&1 &
trl dpo --model_name_or_path other
"""


def convert(folder: Path, text: str, name: str = "job", command: str = "") -> Draft:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return converted(read(file, command=command))


def test_a_script_is_read_as_the_shell_reads_it(tmp_path: Path) -> None:
    """Variables, exports, continued lines, comments, redirections, what starts the processes, and later commands."""
    draft = convert(tmp_path, SCRIPT)
    expected = {
        "model_name_or_path": None,
        "model": "Qwen/Qwen3-8B",
        "output_dir": "out/first",
        "dataset": "trl-lib/Capybara:all",
        "val_dataset": "trl-lib/Capybara:all/held",
        "nproc_per_node": 4,  # 8 on two machines
        "nnodes": 2,
        "deepspeed": "zero3",
        "bf16": True,
    }
    assert {name: draft.options.get(name) for name in expected} == expected
    told = {line.word: line.value for line in draft.of("lost")}
    assert told["WANDB_PROJECT"] == "orders" and told["accelerate launch --debug"] is True
    assert told["model_init_kwargs"] == {"a": 1}
    assert not [line for line in draft.lines if line.word == "MODEL"]
    assert draft.notes == [
        "$RANK is a variable that the script does not set",
        "only the first command is converted, not: trl dpo --model_name_or_path other …",
    ]
    text = text_of(draft, "job", "job.yaml")
    assert all(f"# {note}" in text for note in draft.notes)
    assert set(draft.notes) < set(summary(draft, "job.yaml"))


@pytest.mark.parametrize(
    ("before", "expected", "lost"),
    [
        ("deepspeed --num_gpus 4 --include localhost:0", {"nproc_per_node": 4}, "deepspeed --include"),
        ("torchrun --nproc_per_node 2 --max_restarts 3 --tee 3", {"max_restarts": 3}, "torchrun --tee"),
        ("python -m torch.distributed.run --nnodes 2 --log_dir x", {"nnodes": 2}, "torchrun --log_dir"),
        ("accelerate launch --use_deepspeed --zero_stage 2 --cpu", {"deepspeed": "zero2"}, "accelerate launch --cpu"),
        ("srun -N 2 python", {}, "srun"),
    ],
)
def test_what_starts_the_processes_is_told(tmp_path: Path, before: str, expected: dict, lost: str) -> None:
    draft = convert(tmp_path, f"{before} src/train.py --stage sft --model_name_or_path m --dataset d\n")
    assert expected.items() <= draft.options.items()
    assert lost in {line.word for line in draft.of("lost")}


@pytest.mark.parametrize(
    ("text", "replaced", "expected"),
    [
        ("stage: sft\noptim: adamw_8bit\nloraplus_lr_ratio: 16\n", {"optim"}, {"optimizer": "loraplus"}),
        ("stage: sft\nfinetuning_type: lora\npissa_init: true\n", {"finetuning_type"}, {"tuner": "pissa"}),
        (
            "base_model: m\nadapter: qlora\nunfrozen_parameters: [a]\n",
            {"adapter"},
            {"tuner": "freeze", "quantizer": "bnb"},
        ),
        (
            "stage: sft\nadd_special_tokens: <a>\nnew_special_tokens: <b>\n",
            set(),
            {"new_special_tokens": ["<a>", "<b>"]},
        ),
        ("stage: sft\nneat_packing: true\npacking: true\n", set(), {"packing": True}),
    ],
)
def test_of_two_words_for_one_option_the_loser_is_told(
    tmp_path: Path, text: str, replaced: set[str], expected: dict
) -> None:
    draft = convert(tmp_path, text)
    assert {line.word for line in draft.of("replaced")} == replaced
    assert expected.items() <= draft.options.items()
    assert all(word in summary(draft, "job.yaml")[2] for word in replaced)


@pytest.mark.parametrize(
    ("text", "command", "job", "trainer"),
    [
        ("dataset_name: a\nuse_peft: true\nbeta: 0.3\n", "", "sft", None),
        ("dataset_name: a\nuse_peft: true\nbeta: 0.3\n", "kto", "rlhf", "kto"),
        ("model_name_or_path: a\ntemplate: qwen\nexport_dir: b\n", "", "export", None),
        ("model_name_or_path: a\ntemplate: qwen\n", "chat", "infer", None),
        ("model: a\ntuner_type: lora\n", "pt", "pt", None),
    ],
)
def test_which_command_reads_a_file_is_said_or_told(
    tmp_path: Path, text: str, command: str, job: str, trainer: str | None
) -> None:
    draft = convert(tmp_path, text, command=command)
    assert (draft.job, draft.options.get("trainer")) == (job, trainer)
    assert bool(command) != any("say --command" in note for note in draft.notes)
    if "beta" in text:
        told = {line.word: line.why for line in draft.of("lost")}
        assert draft.options.get("beta") == (0.3 if command else None)
        assert command or told["beta"].startswith("an option of ")


def test_a_system_text_of_ms_swift_is_a_file_or_a_text_without_escapes(tmp_path: Path) -> None:
    begin = "swift sft --model a --dataset b --system "
    assert convert(tmp_path, begin + "prompt.txt\n", "job.sh").options["system"] == "prompt.txt"
    assert convert(tmp_path, begin + "'Be brief.'\n", "job.sh").options["system"] == "Be brief."
    lost = convert(tmp_path, begin + r"'Be brief.\nSay yes.'" + "\n", "job.sh").of("lost")
    assert [line.word for line in lost] == ["system"]


def test_settings_inside_a_map_have_reasons_of_their_own(tmp_path: Path) -> None:
    text = (
        "base_model: m\nsample_packing: true\ntensor_parallel_size: 2\nmystery: {a: 1}\n"
        "fsdp_config: {fsdp_offload_params: true, fsdp_sharding_strategy: FULL_SHARD, fsdp_use_orig_params: false}\n"
        "special_tokens: {pad_token: a, eos_token: b, additional_special_tokens: [<x>]}\n"
    )
    draft = convert(tmp_path, text)
    expected = {"fsdp": True, "tensor_parallel_size": 2, "new_special_tokens": ["<x>"]}
    assert expected.items() <= draft.options.items()
    lost = {"fsdp_config.fsdp_offload_params", "special_tokens.eos_token", "mystery"}
    assert {line.word for line in draft.of("lost")} == lost


# -- the tables -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("program", [*PROGRAMS, LAUNCHERS])
def test_every_row_says_options_or_a_reason(program: str) -> None:
    catalogue = Catalogue.installed()
    components = [
        e.load() for e in catalogue.entries if e.kind not in ("model", "template", "dataset", "recipe", "command")
    ]
    owners = [spec.options_class() for spec in JOBS.values()] + [c for c in components if isinstance(c, type)]
    for row in rows(program):
        if row.said in ("=", "-"):
            assert row.why, row
        for name in re.findall(r"(?:^| )--(\w+)", row.said):
            assert any(match_field(owner, name) for owner in owners), row
        for kind, names in re.findall(
            r"(?:^| )--(tuner|optimizer|quantizer|patcher|launcher|reward)\+? (\S+)", row.said
        ):
            for component in names.split():
                assert component in ("VALUE", "ITEMS") or catalogue.find(kind, component), row
    for row in rows(program):
        if not row.is_default:
            re.compile(row.value if row.value != "*" else "")


def test_words_of_trl_are_words_of_trl() -> None:
    """Its own configurations know every word of the table but those of older versions."""
    import trl

    classes = (trl.ModelConfig, trl.ScriptArguments, trl.SFTConfig, trl.DPOConfig, trl.GRPOConfig, trl.KTOConfig)
    known = {f.name for owner in classes for f in dataclasses.fields(owner)}
    older = {"use_flash_attention_2", "max_seq_length", "max_prompt_length", "dataset_text_field", "use_hf"}
    strange = {row.word for row in rows("trl")[: len(_own("trl"))] if re.fullmatch(r"\w+", row.word)} - known - older
    assert strange <= OLD_TRL, strange - OLD_TRL


OLD_TRL = {"ref_model_init_kwargs", "reward_funcs", "warmup_ratio"}
"""Words of other versions, or of scripts."""


def _own(program: str) -> list[str]:
    file = Path(__file__).parents[1] / "swift_plugin_convert" / "words" / f"{program}.tsv"
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]


def test_their_defaults_are_said_only_where_ours_are_others() -> None:
    for program in ("llamafactory", "axolotl", "trl"):
        assert any(row.value.startswith(UNSET) for row in rows(program))
    draft = converted(read(THEIRS / "trl_grpo.sh"))
    assert {line.word: line.options for line in draft.of("default")}["adam_beta2"] == {"adam_beta2": 0.999}
    assert "beta" not in {line.word for line in draft.of("default")}  # the file says it


# -- what cannot be converted -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("learning_rate: 1e-4\n", "does not tell whose it is"),
        ("llamafactory-cli webui\n", "'webui' is no job that can be converted"),
        ("echo hello\n", "neither a YAML map nor a command"),
        ("trl sft --config gone.yaml\n", "gone.yaml cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SwiftError, match=told):
        read(file)


def test_the_command_writes_and_counts(tmp_path: Path) -> None:
    from swift_plugin_convert import app

    out = tmp_path / "job.yaml"
    done = CliRunner().invoke(app, [str(THEIRS / "axolotl_full.yaml"), "--output", str(out)])
    assert done.exit_code == 0, done.output
    assert "have no equal here" in done.output and "some_new_word" in done.output
    assert "swift explain sft --config" in done.output
    assert out.read_text(encoding="utf-8").startswith("# swift sft --config job.yaml\n")
    again = CliRunner().invoke(app, [str(THEIRS / "axolotl_full.yaml"), "--output", str(out)])
    assert "is there already" in str(again.exception)
