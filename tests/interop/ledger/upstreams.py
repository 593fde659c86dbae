# SPDX-License-Identifier: MIT
"""The mail servers of the ledger, which a nemesis can kill, freeze and start again, and what they have committed."""
import contextlib
import os
import pathlib
import random
import re
import signal
import stat
import subprocess
import sys

from tests.support import net
from tests.support.case import certificates
from tests.support.daemon import ROOT
from tests.support.mta import Postfix

KEY = re.compile(rb"^X-Attempt: (\S+)\r?$", re.M)
HEAD_SIZE = 8192  # where the header is, behind what a server puts before it
# Killed processes come back soon, letters are delivered soon, and nobody writes to the postmaster about it.
MORE = """
service_throttle_time = 1s
notify_classes =
queue_run_delay = 2s
minimal_backoff_time = 1s
message_size_limit = 0
mailbox_size_limit = 0
virtual_mailbox_limit = 0
"""


def key_of(head):
    found = KEY.search(head)
    return found[1].decode() if found else f"a message without X-Attempt: {head[:1000]!r}"


class SinkProcess:
    """The sink as a process of its own. What it has renamed to ID.eml is committed, whatever became of its reply."""

    name = "sink"

    def __init__(self, folder, *options):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = net.free_port()
        self.options = options
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop(signal.SIGKILL)

    def start(self):
        with open(self.folder / "sink.log", "ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.sink", "--port", str(self.port), "--folder",
                 str(self.folder / "kept"), *self.options], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        net.wait_port(self.port)

    def stop(self, first=signal.SIGTERM):
        self.thaw()
        net.end_process(self.process, first=first)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def committed(self):
        """The keys of all messages, as often as they are there."""
        for path in sorted((self.folder / "kept").glob("*.eml")):
            with open(path, "rb") as f:
                yield key_of(f.read(HEAD_SIZE))

    def log(self):
        return (self.folder / "sink.log").read_text()


class PostfixProcesses(Postfix):
    """A real Postfix. Killed are the processes that talk to postern and those that commit; what has been committed
    is delivered, so that it can be counted, when the queue is empty."""

    name = "postfix"

    def __init__(self, folder, seed):
        super().__init__(folder, certificates().good, more=MORE)
        self.log_file = self.folder / "mail.log"
        self.log_file.touch()
        self.log_file.chmod(0o666)  # between stop and start programs without privileges write to it themselves
        self.port = self.plain
        self.chance = random.Random(seed)
        self.frozen = []

    def workers(self):
        """Process ids of all smtpd and cleanup."""
        names = {"smtpd", "cleanup"}
        found = []
        for pid in net.children(self.master):
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() in names:
                    found.append(pid)
        return found

    def _signal(self, pids, number):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_one(self):
        workers = self.workers()
        if workers:
            self._signal([self.chance.choice(workers)], signal.SIGKILL)

    def freeze(self):
        self.frozen = self.workers()
        self._signal(self.frozen, signal.SIGSTOP)

    def thaw(self):
        self._signal(self.frozen, signal.SIGCONT)
        self.frozen = []

    def restart(self):
        self._postfix("stop")
        net.wait_until(lambda: not net.alive(self.master), 20, "Postfix to stop")
        done = self._postfix("start")
        if done.returncode:
            raise AssertionError(f"postfix start: {done.stdout}{done.stderr}")
        net.wait_port(self.port)
        self.master = int((self.folder / "queue" / "pid" / "master.pid").read_text())

    def waiting(self):
        """Messages in the queue. What a killed cleanup left unfinished is none: only a whole one may be executed."""
        for part in ("incoming", "active", "deferred"):
            for path in (self.folder / "queue" / part).rglob("*"):
                with contextlib.suppress(OSError):
                    if path.is_file() and path.stat().st_mode & stat.S_IXUSR:
                        yield path

    def committed(self):
        net.wait_until(lambda: not any(self.waiting()), 60, f"the queue to empty\n{self.log()[-3000:]}", 0.2)
        once = set()  # what Postfix delivers again, because it was stopped in the middle, it was given once
        for path in sorted((self.mailbox / "new").glob("*")):
            with open(path, "rb") as f:
                head = f.read(HEAD_SIZE)
            given = key_of(head), re.search(rb"\(Postfix\)\s+with\s+\w+\s+id\s+(\w+)", head).group(1)
            if given not in once:
                once.add(given)
                yield given[0]
