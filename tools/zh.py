"""Write `docs/zh/cli.md`: commands and the options of every job, in Chinese, from code and the Web-UI's table.

The table (`zh_options.tsv` beside `swift_plugin_webui/forms/chinese.py`) must hold every option of a job, and may hold
those of components, which only the Web-UI shows. A help that changes has another mark: this tool then names what to
translate. Run by `make generated`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from swift_plugin_runtime.options import TrainingOptions
from swift_plugin_webui.forms.chinese import mark, translations
from swift_plugin_webui.forms.shown import NO_OPTIONS

from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import OptionInfo, describe_options
from swift_core.jobs import options as jobs

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "zh" / "cli.md"

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

INTRO = """<!-- Written by tools/zh.py from the code and zh_options.tsv of the Web-UI: then run `make generated`. -->

# 命令行

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
显示任务的选项;同时写出组件(`--tuner lora`)就会显示该组件的选项。组件的选项见[英文参考](../reference/components.md)。
"""


def of_components() -> set[tuple[str, str]]:
    """(name, mark of the English help) of every option of an installed component."""
    owners = [entry.load() for entry in Catalogue.installed().entries if entry.kind not in NO_OPTIONS]
    options = [option for owner in owners if isinstance(owner, type) for option in describe_options(owner)]
    return {(option.name, mark(option.help)) for option in options}


def page() -> str:
    """The whole page. SystemExit with the options that have no translation, or one of another help."""
    known, seen, missing = translations(), set[tuple[str, str]](), list[str]()
    parts = [INTRO]
    for title, (said, owners) in SECTIONS.items():
        new = [o for owner in owners for o in describe_options(owner) if (o.name, mark(o.help)) not in seen]
        seen |= {(o.name, mark(o.help)) for o in new}
        missing += [f"{mark(o.help)}\t{o.name}\t{o.help}" for o in new if (o.name, mark(o.help)) not in known]
        parts.append("\n".join([f"\n## {title}\n", said, "", *_table(new, known)]) + "\n")
    left = known.keys() - seen
    stale = [f"{of}\t{name}\tno option has this help" for name, of in left - (of_components() if left else set())]
    if missing or stale:
        raise SystemExit("\n".join(["zh_options.tsv:", *missing, *stale]))
    return "".join(parts)


def _table(options: list[OptionInfo], known: dict[tuple[str, str], str]) -> Iterator[str]:
    yield "| 选项 | 默认值 | 含义 |"
    yield "|---|---|---|"
    for option in options:
        text = known.get((option.name, mark(option.help)), "").replace("|", "\\|").replace("<", "&lt;")
        names = ", ".join(f"`--{name}`" for name in (option.name, *option.aliases))
        yield f"| {names} | {_default(option)} | {text} |"


def _default(option: OptionInfo) -> str:
    if option.required:
        return "必填"
    return "" if option.default in (None, [], {}, "") else f"`{option.default}`"


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    print(f"docs/zh/cli.md: {len(text.splitlines())} lines", file=sys.stderr)
