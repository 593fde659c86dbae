# SPDX-License-Identifier: MIT
"""Debian's python3-aiosmtpd, unpacked, in a process of its own (aiosmtpd_program.py); it keeps messages itself."""
import os
import pathlib
import subprocess

from tests.support import net
from tests.support.servers import common, packages

ROOT = pathlib.Path(__file__).resolve().parents[3]
PYTHON = "/usr/bin/python3"  # the one that Debian's packages are for
PACKAGES = ("python3-aiosmtpd", "python3-attr", "python3-public", "python3-typing-extensions")


class Aiosmtpd(common.Server):
    name = "aiosmtpd"

    def start(self):
        self.port = net.free_port()
        paths = [ROOT] + [packages.unpacked(p) / "usr/lib/python3/dist-packages" for p in PACKAGES]
        environment = {**os.environ, "PYTHONPATH": ":".join(map(str, paths))}
        with open(self.folder / "aiosmtpd.log", "ab") as out:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "tests.support.servers.aiosmtpd_program", str(self.port),
                 str(self.collector.store.folder)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, cwd=self.folder)
        self.await_listening(self.process)

    def stop(self):
        if self.process:
            net.end_process(self.process, 5)

    def log(self):
        return (self.folder / "aiosmtpd.log").read_text(errors="replace")


def make(folder):
    return Aiosmtpd(folder)
