"""The options of the jobs themselves. Everything else belongs to the components that a job chooses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError, SwiftErrors, attempt
from swift_core.contract.source import Source, exists, is_source
from swift_core.data.sources import source_of
from swift_core.evaluation.benchmarks import FILES, evaluator_of
from swift_core.job.options import option


def _listed_tokens(words: list[str]) -> list[str]:
    """The tokens themselves, where one word names a file of them. SwiftError for one that is blank or there twice."""
    if len(words) == 1 and exists(words[0]) and Path(words[0]).is_file():
        words = Path(words[0]).read_text(encoding="utf-8").splitlines()
    for number, word in enumerate(words):
        if not word.strip() or word in words[:number]:
            why = "is there twice" if word.strip() else "is blank"
            raise SwiftError(f"--new_special_tokens: token {number + 1}, {word!r}, {why}; leave it out.")
    return list(words)


@dataclass(kw_only=True)
class ModelOptions:
    """Which model, how it is loaded, and how conversations are written for it."""

    model: str | None = option(None, "Hub id or local folder of the model.", aliases=("model_id_or_path",))
    model_type: str | None = option(None, "The family, where the id or folder does not tell.", kind="model")
    model_revision: str | None = option(None, "Branch, tag or commit on the hub.", aliases=("revision",))
    use_hf: bool = option(False, "Take models and data sets from Hugging Face rather than ModelScope.")
    loader: str = option("transformers", "Component that loads the model.", kind="loader")
    torch_dtype: Literal["float32", "bfloat16", "float16", "auto"] = option(
        "auto", "Precision of the weights; auto: the checkpoint's own.", aliases=("dtype",)
    )
    attn_impl: str | None = option(None, "Attention of transformers: sdpa, eager, flash_attention_2 …")
    device: str = option("auto", "Where the model runs: auto, cpu, cuda, cuda:1, mps …")
    trust_remote_code: bool = option(False, "Run Python files that lie in the checkpoint.")
    allow_pickle: bool = option(False, "Load weights that are not safetensors (a pickle can run code).")
    quantizer: str | None = option(None, "Component that quantizes: bnb …", kind="quantizer", aliases=("quant_method",))
    patcher: list[str] = option([], "Components that patch the loaded model, in order.", kind="patcher")
    adapters: list[str] = option(
        [], "Trained adapters to load, as folder or name=folder.", aliases=("adapter", "lora_modules")
    )
    ckpt_dir: str | None = option(None, "A checkpoint of a training job: its model, adapter and template.")
    new_special_tokens: list[str] = option(
        [],
        "Special tokens that the checkpoint lacks, or a file with one a line; they get rows in embeddings and head.",
        on_resume="fixed",
    )
    template: str | None = option(None, "Chat template; left out, the model's own.", kind="template")
    system: str | None = option(
        None,
        "System text for rows that bring none, or a .txt file that holds it; empty: the template's own is left out.",
        file=".txt",
    )
    enable_thinking: bool | None = option(
        None, "Whether answers begin with thoughts, where the template knows any; left out, as the template says."
    )
    preserve_thinking: bool | None = option(
        None, "Keep the thoughts of earlier answers; left out, those that are trained, and where the template says so."
    )
    plain_user_text: bool = option(
        False,
        "Take control tokens (<|im_end|> …) in a user's or tool's text as text; true in swift deploy unless you say "
        "otherwise.",
    )
    agent: str | None = option(
        None, "Agent format for tools; left out, the template's own.", kind="agent", aliases=("agent_template",)
    )
    bbox: str | None = option(None, "Box converter; left out, the model's own.", kind="bbox")
    max_length: int | None = option(None, "Longest row in tokens; left out, the model's own limit.", ge=1)
    max_pixels: int | None = option(None, "Images above this many pixels are shrunk, their boxes with them.", ge=1)
    seed: int = option(42, "Seed of everything random.")

    def __post_init__(self) -> None:
        self.new_special_tokens = _listed_tokens(self.new_special_tokens)

    def implied(self, catalogue: Catalogue) -> list[tuple[str, str, str]]:
        """Components that the values ask for without naming them, as (kind, name, why)."""
        return []


@dataclass(kw_only=True)
class DataOptions:
    """Which rows."""

    dataset: list[str] = option(
        [], "Data sets: file, name or id:subset/split#count, several are mixed (names: swift list datasets)."
    )
    val_dataset: list[str] = option([], "Data sets for evaluation during training.")
    split_dataset_ratio: float = option(0.0, "Share of the rows held out for evaluation.", ge=0, lt=1)
    columns: dict[str, str] = option({}, "JSON map from a data set's column to ours (query, response …).")
    dataset_weights: list[float] = option(
        [], "Share of each data set in the mix; left out, all rows of all.", aliases=("interleave_probs",)
    )
    dataset_info: str | None = option(
        None, "LLaMA-Factory's dataset_info.json, or its folder: --dataset may then say its names.",
        aliases=("dataset_dir",),
    )  # fmt: skip
    data_root: str | None = option(
        None, "Folder that holds hub data sets as owner/name, or a Hugging Face cache: nothing is fetched then."
    )
    media_root: str | None = option(
        None, "Folder of pictures, videos and sounds; left out, beside the data file.", aliases=("media_dir",)
    )
    model_name: list[str] = option(
        [], "What stands for {{NAME}} in rows: one name, or the Chinese and the English one.", max_length=2
    )
    model_author: list[str] = option(
        [], "What stands for {{AUTHOR}} in rows: one name, or the Chinese and the English one.", max_length=2
    )
    strict: bool = option(True, "Stop at a bad row; false: skip, count and name the first ten.")
    dataset_shuffle: bool = option(True, "Shuffle the rows before training.")
    data_seed: int = option(42, "Seed of sampling, splitting and shuffling; left out, --seed.", same_as="seed")

    def data_words(self) -> list[str]:
        """All that names data."""
        return [*self.dataset, *self.val_dataset]

    def source_of(self, word: str) -> Source:
        """The data set that a word names. SwiftError where it names none."""
        return source_of(word, self)


@dataclass(kw_only=True)
class TrainOptions(ModelOptions, DataOptions):
    """One training run."""

    trainer: str = option("sft", "Training method.", kind="trainer", aliases=("rlhf_type", "train_method"))
    tuner: list[str] = option(
        ["lora"],
        "What is trained, several compose in order; name=component names one.",
        kind="tuner",
        aliases=("train_type", "tuner_type", "sft_type"),
    )
    optimizer: str | None = option(None, "Optimizer component; left out: AdamW.", kind="optimizer")
    loss_scale: str = option("default", "Weights of the parts of an answer.", kind="loss_scale")
    reward: list[str] = option([], "Rewards, for methods that use them.", kind="reward", aliases=("reward_funcs",))
    reward_timeout: float = option(
        600.0, "Seconds that the rewards of one batch may take; 0: any time.", ge=0, on_resume="free"
    )
    parallel: list[str] = option(
        [], "How a step is shared among processes; left out, as options of theirs ask.", kind="parallel",
        on_resume="free",
    )  # fmt: skip
    launcher: str | None = option(None, "Component that starts several processes.", kind="launcher", on_resume="free")
    environment: list[str] = option(
        [], "What responds to the answers of rollouts (tools, simulators), asked in this order.", kind="environment"
    )
    rollout_backend: str | None = option(
        None, "Backend that draws the answers of rollouts; left out, the model under training itself.", kind="backend"
    )
    use_vllm: bool = option(False, "Same as --rollout_backend vllm.")

    output_dir: str | None = option(
        None, "Where everything is written; left out: output/MODEL-JOB-TIME.", on_resume="free"
    )
    overwrite_output_dir: bool = option(False, "Write into a folder that already holds checkpoints.", on_resume="free")
    resume_from_checkpoint: str | None = option(
        None,
        "A checkpoint folder to go on from as if never stopped; last: the newest whole one; auto: that, or from the "
        "beginning where there is none.",
        on_resume="free",
    )

    max_steps: int = option(-1, "Optimizer steps, overrides epochs where positive.")
    streaming: bool = option(
        False, "Read, encode and pack rows while training runs, in memory that does not grow; needs --max_steps."
    )
    shuffle_buffer_size: int = option(1000, "Rows of a stream among which the next one is drawn.", ge=1)

    push_to_hub: bool = option(False, "Upload the last (or best) checkpoint when training ends.", on_resume="free")
    hub_model_id: str | None = option(None, "Repository to upload to, owner/name.", on_resume="free")
    hub_token: str | None = option(None, "Token for the upload.", secret=True, on_resume="free")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.use_vllm:
            if self.rollout_backend not in (None, "vllm"):
                raise SwiftError(
                    f"--use_vllm true means --rollout_backend vllm, and --rollout_backend {self.rollout_backend} is "
                    "given; leave one of them out."
                )
            self.rollout_backend = "vllm"


@dataclass(kw_only=True)
class GenerationOptions:
    """How answers are drawn."""

    max_new_tokens: int = option(512, "Longest answer in tokens.", ge=1)
    temperature: float = option(0.0, "Softmax temperature; 0: the likeliest token.", ge=0)
    top_p: float = option(1.0, "Nucleus: smallest set of tokens with this mass.", gt=0, le=1)
    top_k: int = option(0, "Only the k likeliest tokens; 0: all.", ge=0)
    repetition_penalty: float = option(1.0, "Divides the score of tokens already there.", gt=0)
    stop_words: list[str] = option([], "Further texts that end an answer.")


@dataclass(kw_only=True)
class BackendOptions(ModelOptions, GenerationOptions):
    """A model that answers."""

    backend: str = option("transformers", "Inference backend.", kind="backend", aliases=("infer_backend",))
    merge_lora: bool = option(False, "Merge the adapter before serving instead of serving it by name.")


@dataclass(kw_only=True)
class InferOptions(BackendOptions, DataOptions):
    """Answers to a data set, or a chat at the terminal."""

    max_batch_size: int = option(8, "Rows answered together.", ge=1)
    stream: bool = option(False, "Print answers as they come.")
    result_path: str | None = option(None, "JSONL of rows with their answers; left out: result.jsonl.")
    resume: bool = option(False, "Go on with the answers that an interrupted run of the same job left.")
    guided_json: str | None = option(None, "JSON schema that every answer keeps to: a file, or the schema itself.")
    guided_regex: str | None = option(
        None, "Regular expression that every answer is, as a whole.", aliases=("structured_outputs_regex",)
    )
    guided_choice: list[str] = option([], "Texts of which every answer is one.")


@dataclass(kw_only=True)
class DeployOptions(BackendOptions):
    """A server."""

    host: str = option("127.0.0.1", "Address to listen on.")
    port: int = option(8000, "Port to listen on; 0: any free one.", ge=0, le=65535)
    server: str = option("openai", "Component that serves.", kind="server")
    served_model_name: str | None = option(None, "Name of the model in the interface.")
    api_key: str | None = option(None, "Key that clients must send.", secret=True)
    max_batch_size: int = option(8, "Requests answered together.", ge=1)

    def data_words(self) -> list[str]:
        """A server reads no data."""
        return []


EVAL_BACKENDS = {"native": "evalscope", "opencompass": "opencompass", "vlmevalkit": "vlmevalkit"}
"""EvalScope's names of its backends, in lower case → the evaluators."""


@dataclass(kw_only=True)
class EvalOptions(BackendOptions, DataOptions):
    """A measurement."""

    evaluator: list[str] = option(
        [],
        "Components that measure, or Native (EvalScope's own), OpenCompass, VLMEvalKit; left out: csv for files, and "
        "for each name the first of these that knows it.",
        kind="evaluator",
        aliases=("eval_backend",),
    )
    eval_dataset: list[str] = option(
        [],
        "What to measure on: files, folders, hub ids (as --dataset), or names of benchmarks (swift list benchmarks).",
    )
    eval_data_dir: str | None = option(
        None, "Folder of the benchmarks' data, in the layout of whoever measures them; left out, they are fetched."
    )
    custom_eval_config: str | None = option(
        None, "JSON list of data sets to measure on, each with name, pattern (CEval or General-QA) and dataset."
    )
    eval_url: str | None = option(None, "An OpenAI endpoint to measure instead of loading a model.")
    eval_model: str | None = option(None, "Name of the model at eval_url; left out, the first that it lists.")
    eval_limit: int | None = option(None, "Rows per data set.", ge=1)
    api_key: str = option("EMPTY", "Key for eval_url.", secret=True)
    max_batch_size: int = option(8, "Rows answered together.", ge=1)
    output_dir: str | None = option(None, "Where reports are written; left out: output/MODEL-eval-TIME.")
    resume: bool = option(False, "Keep the reports in --output_dir of data sets that the same job has measured.")
    compare: list[str] = option([], "Report folders to show side by side; nothing is measured.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.evaluator = [EVAL_BACKENDS.get(word.lower(), word) for word in self.evaluator]
        if self.eval_url and self.backend not in (BackendOptions.backend, "remote"):
            raise SwiftError(f"--eval_url asks a server, so --backend {self.backend} has nothing to do; leave it out.")
        if self.eval_url or self.compare:
            self.backend, self.loader = "remote", ""  # no model is loaded here

    def data_words(self) -> list[str]:
        """All that names data; of --eval_dataset those that are not an evaluator's own names."""
        named = [word for word in self.eval_dataset if is_source(word)]
        return [*super().data_words(), *named, *([self.custom_eval_config] if self.custom_eval_config else [])]

    def implied(self, catalogue: Catalogue) -> list[tuple[str, str, str]]:
        """Where no evaluator is named: csv for files, whoever knows a name for it. SwiftErrors for unknown names."""
        if self.evaluator or self.compare:
            return []
        mistakes: list[str] = []
        names = [word for word in self.eval_dataset if not is_source(word)]
        known = {name: attempt(mistakes, evaluator_of, name, catalogue) for name in names}
        if mistakes:
            raise SwiftErrors(mistakes)
        chosen = {FILES: "default"} if self.data_words() or not names else {}
        chosen |= {evaluator: f"--eval_dataset {name}" for name, evaluator in known.items() if evaluator}
        return [("evaluator", evaluator, why) for evaluator, why in chosen.items()]


@dataclass(kw_only=True)
class ExportOptions(ModelOptions, DataOptions):
    """A conversion."""

    exporter: list[str] = option(
        [], "What to write: merge-lora, gguf, ollama, peft-format, megatron …", kind="exporter", aliases=("to",)
    )
    merge_lora: bool = option(False, "Same as --exporter merge-lora.", selects=("exporter", "merge-lora"))
    consolidate: bool = option(False, "Same as --exporter consolidate.", selects=("exporter", "consolidate"))
    to_gguf: bool = option(False, "Same as --exporter gguf.", selects=("exporter", "gguf"))
    to_ollama: bool = option(False, "Same as --exporter ollama.", selects=("exporter", "ollama"))
    to_peft_format: bool = option(False, "Same as --exporter peft-format.", selects=("exporter", "peft-format"))
    to_megatron: bool = option(
        False, "Same as --exporter megatron.", selects=("exporter", "megatron"), aliases=("to_mcore",)
    )
    to_hf: bool = option(False, "Same as --exporter hf.", selects=("exporter", "hf"))
    output_dir: str | None = option(None, "Where to write; left out: beside the checkpoint.")
    exist_ok: bool = option(False, "Write into a folder that is there already.")
    push_to_hub: bool = option(False, "Upload what was written last, or where nothing is written, the checkpoint.")
    hub_model_id: str | None = option(None, "Repository to upload to, owner/name.")
    hub_token: str | None = option(None, "Token for the upload.", secret=True)
    hub_private_repo: bool = option(False, "Make the repository private.")


@dataclass(kw_only=True)
class SampleOptions(BackendOptions, DataOptions):
    """Rejection sampling."""

    reward: list[str] = option([], "Rewards that score the answers.", kind="reward", aliases=("reward_funcs",))
    reward_timeout: float = option(600.0, "Seconds that the rewards of one batch may take; 0: any time.", ge=0)
    num_return_sequences: int = option(4, "Answers drawn per row.", ge=1)
    keep: int = option(1, "Best answers kept per row.", ge=1)
    threshold: float | None = option(None, "Least mean reward of a kept answer.")
    max_batch_size: int = option(8, "Answers drawn together.", ge=1)
    output_file: str = option("samples.jsonl", "Rows written; rows already there are not drawn again.")
