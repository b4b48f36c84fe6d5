"""A real Slurm of one machine in a folder: munged, slurmctld and slurmd on 127.0.0.1, ended one by one."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol")

CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MinJobAge=600
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus}
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class OneNode:
    """Leave the `with` block to end it. `environment` is what Slurm's programs need to find it."""

    def __init__(self, folder: Path):
        self.folder, self.running = folder, []
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> OneNode:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        conf = CONF.format(host=host, folder=self.folder, ports=_free_ports(2), cpus=os.cpu_count())
        (self.folder / "slurm.conf").write_text(conf)
        places = {n: self.folder / f"munge.{n}" for n in ("socket", "pid", "log", "seed")}
        munge = ["--foreground", "--force", "--num-threads=1", f"--key-file={key}", f"--socket={places['socket']}"]
        munge += [f"--pid-file={places['pid']}", f"--log-file={places['log']}", f"--seed-file={places['seed']}"]
        self._start("munged", *munge)
        _until(places["socket"].exists, "munged has no socket")
        self._start("slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        self._start("slurmd", "-D", "-f", self.environment["SLURM_CONF"], "-N", host)
        _until(lambda: "idle" in self.asked("sinfo", "-h", "-o", "%T"), "the node is not idle", self.said)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def asked(self, *words: str) -> str:
        """What one of Slurm's programs prints."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout

    def said(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(f"{p.name}: {p.read_text()[-2000:]}" for p in sorted(self.folder.glob("*.out")))

    def _start(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.out").open("w") as stream:
            environment = {**os.environ, **self.environment}
            self.running.append(subprocess.Popen(words, env=environment, stdout=stream, stderr=subprocess.STDOUT))


def _until(true, what: str, more=lambda: "", seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"{what}\n{more()}"
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
