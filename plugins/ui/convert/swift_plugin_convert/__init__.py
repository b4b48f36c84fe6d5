"""`swift convert-config FILE`: a job of LLaMA-Factory, Axolotl, TRL or ms-swift as a job file of ours.

`reading` finds out whose the file is and what it says, `tables` holds the words of each program, `converting` looks
every word up, `fitting` asks the job's components which options they take, and `writing` prints the job file. No word
is left out in silence: what has no equal here stands as a comment in the job file and is counted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from swift_core import SwiftError

app = typer.Typer(invoke_without_command=True)


@app.callback(context_settings={"allow_interspersed_args": True})
def convert(
    file: Annotated[Path, typer.Argument(help="A YAML file, or a file that holds the command.")],
    output: Annotated[Path | None, typer.Option(help="The job file to write; left out: printed.")] = None,
    program: Annotated[
        str, typer.Option(help="Whose file it is: llamafactory, axolotl, trl or ms-swift; left out: found out.")
    ] = "",
    command: Annotated[
        str, typer.Option(help="Which of its commands reads the YAML file: dpo, export, pt …; left out: the usual one.")
    ] = "",
) -> None:
    """Turn another program's job file or command into a job file of ours.

    Raises SwiftError where it cannot be read, or the output is there already.
    """
    from swift_plugin_convert.converting import converted
    from swift_plugin_convert.reading import read
    from swift_plugin_convert.writing import summary, text_of

    job = converted(read(file, program, command))
    text = text_of(job, file.name, output.name if output else "job.yaml")
    if output is None:
        print(text, end="")
    elif output.exists():
        raise SwiftError(f"{output} is there already: say another --output, or move it.")
    else:
        output.write_text(text, encoding="utf-8")
    for line in summary(job, str(output or "job.yaml")):
        print(line, file=sys.stderr)
