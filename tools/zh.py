"""Write `docs/zh/cli.md` and `docs/zh/components.md`: commands and every option, in Chinese.

The texts are from the Web-UI's table, `zh_options.tsv` beside `swift_plugin_webui/forms/chinese.py`. It must hold every
option of a job and of a component of this repository. An option that is new, or whose help changed, has another mark:
this tool then names what to translate. Run by `make generated`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from swift_plugin_runtime.options import TrainingOptions
from swift_plugin_webui.forms.chinese import mark, translations

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.kinds import KINDS
from swift_core.job.options import OptionInfo, describe_options
from swift_core.jobs import options as jobs

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "zh"

SECTIONS: dict[str, tuple[str, list[type]]] = {
    "模型": ("所有任务都有的选项。", [jobs.ModelOptions]),
    "数据": ("训练、推理、评估、导出和采样都有的选项。", [jobs.DataOptions]),
    "训练": ("`swift pt`、`swift sft`、`swift rlhf` 和 `swift train`。", [jobs.TrainOptions, TrainingOptions]),
    "生成": ("`swift infer`、`deploy`、`eval` 和 `sample`。", [jobs.GenerationOptions, jobs.BackendOptions]),
    "推理": ("`swift infer`", [jobs.InferOptions]),
    "部署": ("`swift deploy`", [jobs.DeployOptions]),
    "评估": ("`swift eval`", [jobs.EvalOptions]),
    "导出": ("`swift export` 和 `swift merge-lora`", [jobs.ExportOptions]),
    "采样": ("`swift sample`", [jobs.SampleOptions]),
}
"""Heading → what stands below it, and the classes whose options it lists."""

NOTE = "<!-- Written by tools/zh.py from the code and zh_options.tsv of the Web-UI: then run `make generated`. -->\n\n"

INTRO = """# 命令行

| 命令 | 作用 |
|---|---|
| `swift list [KIND]` | 列出已安装的组件 |
| `swift show KIND NAME` | 显示一个组件;`swift show data FILE` 显示样本会变成什么、哪些部分参与训练 |
| `swift doctor` | 检查所有已安装的内容;`--report` 写出用于报告问题的信息 |
| `swift explain JOB …` | 显示任务将做什么,不运行 |
| `swift plan JOB …` | 预测任务需要的内存、步数、时间和磁盘 |
| `swift recipes list`、`show`、`run` | 按名称使用的完整任务 |
| `swift new KIND NAME` | 写出一个完整的插件 |
| `swift env list` | 后端、量化和评估的独立环境 |
| `swift convert-config FILE` | 把其他程序的任务文件转换为我们的 |
| `swift pt` | 用纯文本预训练 |
| `swift sft` | 用对话微调 |
| `swift rlhf --rlhf_type dpo` | 用偏好或奖励对齐(dpo、grpo、kto …) |
| `swift infer` | 回答数据集或在终端聊天 |
| `swift deploy` | 以 OpenAI 接口部署 |
| `swift eval` | 评估 |
| `swift export`、`swift merge-lora` | 合并、量化或转换检查点 |
| `swift sample` | 生成回答、打分、保留最好的 |
| `swift app` | Web-UI |

选项写作 `--name value`,短横线和下划线等价;也可以写在 YAML 文件中(`--config job.yaml`),命令行优先。`swift JOB --help`
显示任务的选项;同时写出组件(`--tuner lora`)就会显示该组件的选项。组件的选项见[组件的选项](components.md)。
"""


KIND_TITLES = {
    "loader": "加载模型",
    "quantizer": "量化",
    "patcher": "修改已加载的模型",
    "agent": "智能体格式",
    "loss_scale": "回答各部分的权重",
    "tuner": "训练什么",
    "optimizer": "优化器",
    "trainer": "训练方法",
    "reward": "奖励",
    "environment": "环境",
    "parallel": "并行",
    "launcher": "启动多个进程",
    "backend": "推理后端",
    "server": "服务",
    "evaluator": "评估",
    "exporter": "导出",
}
"""Kind → the title of its section, for each kind whose components have options."""

COMPONENTS_INTRO = """# 组件的选项

有选项的组件,按种类排列。选择组件(`--tuner lora`、`--rlhf_type grpo` …)之后就可以使用它的选项;`swift show KIND NAME`
显示一个组件。[命令行](cli.md)中已有的选项(如训练方法共有的选项)不再重复。组件的作用、限制和没有选项的组件见
[英文参考](../reference/components.md)。
"""

Owner = tuple[str, str, list[OptionInfo]]
"""(kind, name, options) of a component."""


def owners() -> list[Owner]:
    """The components of this repository that have options of their own, which no job has."""
    known = set((ROOT / "swift_core/catalogue/known.tsv").read_text(encoding="utf-8").splitlines())
    ours = [e for e in Catalogue.installed().entries if f"{e.kind}\t{e.name}\t{e.package}" in known]
    loaded = [(entry, entry.load()) for entry in ours if entry.kind in KIND_TITLES]
    described = [(e.kind, e.name, describe_options(owner)) for e, owner in loaded if isinstance(owner, type)]
    of_jobs = {_key(option) for title in SECTIONS for option in _options(title)}
    own = [(kind, name, [o for o in options if _key(o) not in of_jobs]) for kind, name, options in described]
    return [owner for owner in own if owner[2]]


def pages() -> dict[str, str]:
    """File name → text. SystemExit with the options that have no translation, and the translations of none."""
    of_jobs = {title: _new_options(title) for title in SECTIONS}
    of_components = owners()
    _complain(option for options in [*of_jobs.values(), *(o for *_, o in of_components)] for option in options)
    return {"cli.md": _jobs_page(of_jobs), "components.md": _components_page(of_components)}


def _new_options(title: str) -> list[OptionInfo]:
    """The options of a section, each once, that no section before it has."""
    titles = list(SECTIONS)
    before = {_key(option) for name in titles[: titles.index(title)] for option in _options(name)}
    return [option for key, option in {_key(o): o for o in _options(title)}.items() if key not in before]


def _options(title: str) -> list[OptionInfo]:
    return [option for owner in SECTIONS[title][1] for option in describe_options(owner)]


def _key(option: OptionInfo) -> tuple[str, str]:
    return option.name, mark(option.help)


def _complain(options: Iterable[OptionInfo]) -> None:
    there, known = {_key(o): o.help for o in options}, translations()
    missing = [f"{of}\t{name}\t{help}" for (name, of), help in there.items() if (name, of) not in known]
    stale = [f"{of}\t{name}\tno option has this help" for name, of in known.keys() - there.keys()]
    if missing or stale:
        raise SystemExit("\n".join(["zh_options.tsv:", *missing, *stale]))


def _jobs_page(of_jobs: dict[str, list[OptionInfo]]) -> str:
    parts = [
        "\n".join([f"\n## {title}\n", SECTIONS[title][0], "", *_table(of)]) + "\n" for title, of in of_jobs.items()
    ]
    return "".join([NOTE, INTRO, *parts])


def _components_page(all_of_them: list[Owner]) -> str:
    text = NOTE + COMPONENTS_INTRO
    for kind, title in KIND_TITLES.items():
        text += f"\n## {title}({KINDS[kind].folder})\n"
        for name, options in [(name, options) for of, name, options in all_of_them if of == kind]:
            text += "\n".join([f"\n### {name}\n", *_table(options)]) + "\n"
    return text


def _table(options: list[OptionInfo]) -> Iterator[str]:
    yield "| 选项 | 默认值 | 含义 |"
    yield "|---|---|---|"
    for option in options:
        text = translations()[_key(option)].replace("|", "\\|").replace("<", "&lt;")
        names = ", ".join(f"`--{name}`" for name in (option.name, *option.aliases))
        yield f"| {names} | {_default(option)} | {text} |"


def _default(option: OptionInfo) -> str:
    if option.required:
        return "必填"
    return "" if option.default in (None, [], {}, "") else f"`{option.default}`"


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"docs/zh/{name}: {len(text.splitlines())} lines", file=sys.stderr)
