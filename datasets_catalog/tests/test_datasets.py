"""Every card becomes rows from its example; names, ids and parts of a word lead to the right one; folders serve it."""

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from swift_testing import DatasetContract
from swift_testing.contracts import bare_model
from swift_testing.published import check_card, write_like_a_hub

from swift_core.catalogue.card_cache import published
from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError
from swift_core.data.load import load_all
from swift_core.data.sources import source_of
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

CARDS = {card.name: card for card in (e.load() for e, _ in published(Catalogue.installed()) if "catalog" in e.package)}


@pytest.mark.parametrize("name", CARDS)
def test_the_card_becomes_rows(name):
    check_card(CARDS[name])


def test_the_catalogue_is_whole():
    assert len(CARDS) == 203
    assert sum(len(card.names()) for card in CARDS.values()) == 415


def test_no_two_cards_are_one():
    """Ids are unique, but for one data set that six cards read in as many ways."""
    ids = [i for n, c in CARDS.items() if not n.startswith("open_jev") for i in (c.modelscope, f"HF {c.huggingface}")]
    ids = [i for i in ids if i not in ("", "HF ")]
    assert len(ids) == len(set(ids))


OPTIONS = SimpleNamespace(dataset_info=None, use_hf=False, data_root=None)
ALPACA = ("modelscope", "AI-ModelScope/alpaca-gpt4-data-en", "default", "train")
WORDS = {
    "alpaca-en": ALPACA,
    "alpaca_en#7": ALPACA,
    "AI-ModelScope/alpaca-gpt4-data-en#500": ALPACA,
    "ai-modelscope/Alpaca-GPT4-data-en": ALPACA,
    "HF::alpaca-en": ("huggingface", "vicgalle/alpaca-gpt4", "default", "train"),
    "HF::vicgalle/alpaca-gpt4:default/train#9": ("huggingface", "vicgalle/alpaca-gpt4", "default", "train"),
    "hh-rlhf": (
        "modelscope",
        "AI-ModelScope/hh-rlhf",
        "helpful-base+helpful-online+helpful-rejection-sampled",
        "train",
    ),
    "hh-rlhf:helpful-base/test": ("modelscope", "AI-ModelScope/hh-rlhf", "helpful-base", "test"),
    "hh-rlhf/test": (
        "modelscope",
        "AI-ModelScope/hh-rlhf",
        "helpful-base+helpful-online+helpful-rejection-sampled",
        "test",
    ),
    "blossom-math-zh": ("modelscope", "AI-ModelScope/blossom-math-v2", "default", "train"),
    "coig-cqia:exam+wiki": ("modelscope", "AI-ModelScope/COIG-CQIA", "exam+wiki", "train"),
    "medical-en": ("modelscope", "swift/medical_zh", "en", "train"),
    "fineweb": ("huggingface", "HuggingFaceFW/fineweb", "default", "train"),
    "egoschema:cls": ("modelscope", "AI-ModelScope/egoschema", "Subset", "test"),
    "nobody/knows-it:a/b": ("modelscope", "nobody/knows-it", "a", "b"),
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_names_a_data_set(word):
    source = source_of(word, OPTIONS)
    assert (source.hub, source.id, source.subset, source.split) == WORDS[word]
    assert bool(source.card) == ("nobody" not in word) == (source.layout is not None)
    assert source.count == (int(word.partition("#")[2]) if "#" in word else None)


TABLE_13 = (
    "alpaca-en synthetic-text-to-sql firefly-train-1.1M deepctrl-sft ruozhiba ms-agent ms-agent-pro chinese-c4 fineweb "
    "okvqa a-okvqa chart-qa ocr-vqa llava-pretrain llava-instruct-150k mantis-instruct grit science-qa refcoco "
    "refcocog rlaif-v aishell1-zh-mini"
)


@pytest.mark.parametrize("word", TABLE_13.split())
def test_the_names_of_the_paper(word):
    assert source_of(word, OPTIONS).card


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("alpaca-ne", "Did you mean 'alpaca-en'"),
        ("coig-cqia:exma", "no subset 'exma'. Did you mean 'exam'"),
        ("multi-alpaca:de/fr", "joined by [+]: de[+]fr"),
        ("HF::ms-agent", "names no id on huggingface"),
    ],
)
def test_a_wrong_word_is_told(word, said):
    with pytest.raises(SwiftError, match=said):
        source_of(word, OPTIONS)


def test_without_the_catalogue_its_package_is_named(monkeypatch):
    monkeypatch.setattr("swift_core.data.sources.published", lambda catalogue: [])
    with pytest.raises(SwiftError, match="It ships in swift-datasets-catalog: pip install swift-datasets-catalog"):
        source_of("blossom-math-zh#3", OPTIONS)


def written(folder: Path, rows: list[dict]) -> None:
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(words: list[str], root: Path | None = None, **options):
    given = {
        "model": bare_model(),
        "dataset": words,
        "data_root": str(root) if root else None,
        "device": "cpu",
        **options,
    }
    job = prepare("sft", [Given(k, v, "test") for k, v in given.items() if v is not None])
    return job, load_all(job, job.options.dataset, need_answer=False)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def test_a_folder_laid_out_like_the_hub_serves(tmp_path):
    """By either hub's id, by name or id, and from a cache of Hugging Face; the card is part of the job."""
    card, pairs = CARDS["alpaca-en"], CARDS["rlaif-v"]
    written(tmp_path / card.huggingface, [card.example] * 3)
    cached = tmp_path / "hub" / "datasets--openbmb--RLAIF-V-Dataset"
    written(cached / "snapshots" / "old", [pairs.example] * 2)
    written(cached / "snapshots" / "new", [pairs.example])
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("new")
    job, rows = read(["alpaca-en#2", card.modelscope, "rlaif-v"], tmp_path)
    assert [c.entry.name for c in job.many("dataset")] == ["modelscope", "alpaca-en", "rlaif-v"]
    assert [row.messages[0]["content"] for row in rows[:5]] == [card.example["instruction"]] * 5
    assert rows[0].extra.keys() == {"undeclared_text"}
    assert len(rows) == 6 and rows[5].rejected and rows[5].images
    with pytest.raises(SwiftError, match=r"not in --data_root: looked for .*gsm8k"):
        read(["gsm8k"], tmp_path)


def test_a_folder_is_measured_as_its_card_says(tmp_path):
    from swift_core.evaluation.sets import eval_sets

    card = CARDS["xlam-function-calling-60k"]
    written(tmp_path / card.modelscope, [card.example])
    given = {"model": bare_model(), "eval_dataset": [card.modelscope], "data_root": str(tmp_path)}
    (found,) = eval_sets(prepare("eval", [Given(k, v, "test") for k, v in given.items()]))
    assert (found.source.card, found.source.hub) == (card.name, "modelscope")


def test_rows_that_a_card_does_not_keep_are_counted(tmp_path, capsys):
    card = CARDS["orpo-dpo-mix-40k"]
    written(tmp_path / card.modelscope, [card.example, card.example | {"source": "toxic-dpo-v0.2"}])
    _, rows = read(["orpo-dpo-mix-40k"], tmp_path)
    assert len(rows) == 1
    assert "orpo-dpo-mix-40k: left out 1 rows" in capsys.readouterr().err


def test_other_columns_than_the_card_says(tmp_path):
    """They are an error that names both, and --columns says what the card does not know."""
    written(tmp_path / CARDS["gsm8k"].modelscope / "main", [{"q": "1 + 1?", "a": "2"}])
    (tmp_path / CARDS["gsm8k"].modelscope / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files: main/train.jsonl\n---\n"
    )
    with pytest.raises(SwiftError, match=r"gsm8k names the columns question, answer; the row has q, a"):
        read(["gsm8k"], tmp_path)
    _, rows = read(["gsm8k"], tmp_path, columns={"q": "query", "a": "response"})
    assert [m["content"] for m in rows[0].messages] == ["1 + 1?", "2"]


@pytest.mark.parametrize("name", ["hh-rlhf", "hc3-zh", "xlam-function-calling-60k"])
class TestCards(DatasetContract):
    """A few keep the whole contract, through the real reader of a folder laid out like the hub."""

    @pytest.fixture(autouse=True)
    def _choose(self, name):
        self.name = name


def test_a_card_of_your_own(tmp_path, monkeypatch, tmp_path_factory):
    """The package of docs/datasets.md: its card is found by name and by id, and reads a row."""
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    site = tmp_path_factory.mktemp("site")
    for name in ("my_data/capitals.toml", "my_data/__init__.py", "pyproject.toml"):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(page.split(f"`{name}`:\n\n```", 1)[1].partition("\n")[2].split("```")[0])
    project = tomllib.loads((site / "pyproject.toml").read_text())["project"]
    info = site / "my_data-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entries = project["entry-points"]["swift_core.datasets"]
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (info / "entry_points.txt").write_text(f"[swift_core.datasets]\n{lines}")
    monkeypatch.syspath_prepend(str(site))
    assert source_of("HF::me/capitals", OPTIONS).card == "capitals"
    card = Catalogue.installed().find("dataset", "capitals").load()
    check_card(card)
    write_like_a_hub(card, tmp_path)
    _, rows = read(["capitals"], tmp_path)
    assert [m["content"] for m in rows[0].messages] == ["What is the capital of France?", "Paris"]
