"""The hubs' readers keep the data set contract on a folder laid out like a hub repository; offline they say so."""

from pathlib import Path

import pytest
from swift_testing import DatasetContract
from swift_testing.contracts import CHAT, bare_model, write_rows

from swift_core.contract.errors import SwiftError
from swift_core.contract.source import read_source
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

README = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train.jsonl}
  - {split: test, path: data/test.jsonl}
- config_name: long
  data_files: data/long.jsonl
---
"""


def repository(folder: Path) -> Path:
    """A data set repository with two splits and a second subset."""
    (folder / "data").mkdir()
    (folder / "README.md").write_text(README)
    for name, count in {"train": 2, "test": 1, "long": 4}.items():
        write_rows(folder / "data", (CHAT * 2)[:count], f"{name}.jsonl")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


class TestHuggingFace(DatasetContract):
    name = "huggingface"
    rows = 2

    def source(self, folder: Path) -> str:
        return f"HF::{repository(folder)}"

    @pytest.mark.parametrize(
        ("place", "count"), [(":default/test", 1), (":long", 4), (":default+long", 6), (":/test", 1)]
    )
    def test_subset_and_split(self, tmp_path: Path, place: str, count: int) -> None:
        job = self.job(dataset=[f"HF::{repository(tmp_path)}"])
        source = read_source(f"HF::{tmp_path}{place}")
        assert len(list(job.hook.load_rows(job=job, source=source))) == count

    def test_a_split_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        job = self.job(dataset=[f"HF::{repository(tmp_path)}"])
        with pytest.raises(SwiftError, match="validation"):
            list(job.hook.load_rows(job=job, source=read_source(f"HF::{tmp_path}:default/validation")))


class TestModelScope(DatasetContract):
    name = "modelscope"
    rows = 2

    def source(self, folder: Path) -> str:
        return f"MS::{repository(folder)}"


def test_media_come_as_they_are_stored(tmp_path: Path) -> None:
    """Bytes or paths, which are opened when the row's turn comes; nulls that Arrow fills in are left out."""
    import datasets
    from PIL import Image

    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    picture = {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}
    features = datasets.Features(
        {"query": datasets.Value("string"), "image": datasets.Image(), "images": datasets.List(datasets.Image())}
    )
    rows = {"query": ["a", None], "image": [picture, None], "images": [[picture, picture], []]}
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "data" / "train.parquet")
    word = f"HF::{tmp_path}"
    job = prepare("sft", [Given("model", bare_model(), "test"), Given("dataset", [word], "test")])
    one, other = job.hook.load_rows(job=job, source=read_source(word))
    assert one["image"] == {"bytes": picture["bytes"]} and one["images"] == [{"bytes": picture["bytes"]}] * 2
    assert other.keys() == {"images", "_where"}


@pytest.mark.parametrize("hub", ["HF", "MS"])
def test_without_a_network_the_error_says_what_to_do(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nobody answers there
    monkeypatch.setattr("time.sleep", lambda _: None)  # the clients try several times …
    monkeypatch.setattr("modelscope_hub._download_control._DownloadControl.sleep", lambda *_: None)  # … and this one
    word = f"{hub}::nobody/there-is-no-such-set"
    job = prepare("sft", [Given("model", bare_model(), "test"), Given("dataset", [word], "test")])
    with pytest.raises(SwiftError, match=r"nobody/there-is-no-such-set.*local file"):
        list(job.hook.load_rows(job=job, source=read_source(word)))
