"""The words of the page in English and Chinese. What plugins say in errors and logs stays as they say it."""

from __future__ import annotations

from dataclasses import dataclass

from swift_plugin_webui.forms.chinese import in_chinese
from swift_plugin_webui.forms.fields import Field

LANGUAGES = {"English": "", "中文": "zh"}
"""Language → its place in the address."""

CHINESE = {
    "Train": "训练",
    "Chat": "对话",
    "Deploy": "部署",
    "Evaluate": "评测",
    "Export": "导出",
    "Sample": "采样",
    "Runs": "任务",
    "Data": "数据",
    "Models": "模型",
    "Train, chat, serve, evaluate": "训练、对话、部署、评测",
    "Dark or light": "深色 / 浅色",
    "Job": "任务",
    "Jobs": "任务列表",
    "Begin with": "预设",
    "Memory of the device": "显存",
    "Search options": "搜索参数",
    "A name, or words of its explanation; then Enter": "参数名或说明中的词,按回车",
    "More options of": "更多参数",
    "No option fits.": "没有匹配的参数。",
    "default": "默认",
    "Upload data": "上传数据",
    "Load YAML or .sh": "载入 YAML 或 .sh",
    "Reset": "重置",
    "Devices and processes": "设备与进程",
    "GPUs": "GPU",
    "None chosen: all of them": "不选则使用全部",
    "No NVIDIA GPU was found here: jobs take what torch finds.": "本机没有发现 NVIDIA GPU:任务使用 torch 找到的设备。",
    "Queue while a device is busy": "设备占用时排队",
    "Behind jobs that came earlier on the same devices": "排在同一设备上更早的任务之后",
    "How a step is shared": "如何并行",
    "waits for": "等待",
    "Left out, since nothing takes it any more": "已移除(不再有组件使用)",
    "Recipes": "配方",
    "The command": "命令",
    "As job file": "任务文件 (YAML)",
    "Check: refusals and memory": "检查:能否运行与显存",
    "Run": "运行",
    "What swift says of it": "检查结果",
    "Nothing is refused.": "没有问题,可以运行。",
    "One a line": "每行一个",
    "job": "任务",
    "state": "状态",
    "progress": "进度",
    "time left": "剩余时间",
    "device": "设备",
    "started": "开始时间",
    "model": "模型",
    "queued": "排队中",
    "running": "运行中",
    "stopping": "正在停止",
    "done": "已完成",
    "failed": "失败",
    "stopped": "已停止",
    "lost": "丢失",
    "exit code": "退出码",
    "Compare with": "对比",
    "Stop": "停止",
    "Stop at once": "立即停止",
    "Resume": "继续",
    "Delete": "删除",
    "Delete this job with its log and checkpoints?": "删除此任务及其日志和检查点?",
    "Its secret, again": "请再次输入密钥",
    "Curves (the first ones, if none is chosen)": "曲线(未选择时显示前几项)",
    "Smoothing": "平滑",
    "step": "步",
    "Log": "日志",
    "No job yet.": "还没有任务。",
    "Folder": "文件夹",
    "Serving on": "服务地址",
    "Server": "服务",
    "A job that serves, or http://127.0.0.1:PORT": "已部署的任务,或 http://127.0.0.1:端口",
    "Model or adapter": "模型或适配器",
    "Adapters are chosen by name": "按名称选择 LoRA",
    "Load a model or checkpoint": "加载模型或检查点",
    "Model or checkpoint": "模型或检查点",
    "Load": "加载",
    "Two models side by side": "两个模型并排",
    "Message": "消息",
    "Write a message, or add a picture, video or sound": "输入消息,或添加图片、视频、音频",
    "New conversation": "新对话",
    "Settings": "设置",
    "System text": "系统提示",
    "Temperature": "温度",
    "Longest answer in tokens": "最长回答(token)",
    "Thinking": "思考",
    "Key of the server": "服务密钥",
    "Tools, a JSON list": "工具(JSON 列表)",
    "Tools": "工具",
    "Tool call": "工具调用",
    "Tool result": "工具结果",
    "Result of": "工具结果:",
    "What the tool gave: text or JSON": "工具返回的文本或 JSON",
    "Wait for the answer, or press Stop.": "请等待回答,或按“停止”。",
    "Give the result": "提交结果",
    "Write the tool's result first.": "请先填写工具结果。",
    "Files": "文件",
    "Choose a model or a checkpoint first.": "请先选择模型或检查点。",
    "Choose a server and a model first.": "请先选择服务和模型。",
    "Data set": "数据集",
    "A file, or owner/name:subset/split#count": "文件,或 owner/name:subset/split#count",
    "As this model is trained on it": "按此模型的训练方式显示",
    "Left out: the messages alone": "留空则只显示消息",
    "From row": "起始行",
    "Show": "显示",
    "What is said of the rows": "数据检查",
    "Lengths in tokens": "长度(token)",
    "Choose a data set first.": "请先选择数据集。",
    "Search models": "搜索模型",
    "Reads": "输入模态",
    "Conformance level": "验证级别",
    "checkpoints": "个检查点",
    "shown": "个已显示",
    "id": "名称",
    "family": "模型族",
    "modality": "模态",
    "level": "级别",
    "template": "模板",
}


@dataclass(frozen=True)
class Texts:
    """The words in one language: `t("Run")`."""

    language: str = "English"

    def __call__(self, text: str) -> str:
        """The words in this language; KeyError for words that the table lacks."""
        return text if self.language == "English" else CHINESE[text]

    def help(self, field: Field) -> str:
        """What an option says of itself; English where nobody has translated it."""
        return field.help if self.language == "English" else in_chinese(field.name, field.help)
