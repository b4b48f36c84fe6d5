"""`swift app`: a page that assembles `swift` command lines, runs them in the background and shows their curves.

The forms are made from the same option fields as `--help`, so a third party's component has its form at once.
"""

from __future__ import annotations

import typer

app = typer.Typer(invoke_without_command=True)


@app.callback()
def serve(
    host: str = typer.Option("127.0.0.1", help="Address to listen on; whoever reaches it can run jobs."),
    port: int = typer.Option(7860, help="Port to listen on."),
    folder: str = typer.Option("output/webui", help="Where the logs of the jobs are kept."),
) -> None:
    """Start the Web-UI."""
    import uvicorn
    from swift_plugin_serving.server import address, bind

    from swift_plugin_webui.pages import build

    with bind(host, port) as listening:
        print(f"Web-UI on {address(listening)}", flush=True)
        server = uvicorn.Server(uvicorn.Config(build(folder, host), log_level="warning"))
        server.run(sockets=[listening])
