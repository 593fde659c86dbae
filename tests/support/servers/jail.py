# SPDX-License-Identifier: MIT
"""A place where a daemon that wants its own users and fixed paths finds them, and the system does not notice.

    jail = Jail(folder, users, {"/run/smtpd": unpacked("opensmtpd")})
    jail.popen(["/run/smtpd/usr/sbin/smtpd", …], log)

It runs in a mount namespace in which /etc/passwd, /etc/group, /etc/resolv.conf, /var/lib, /var/spool and /run are
ours, and in a pid namespace, so that all that it started ends with it. More folders can be shown below these
(packages, which lie where only root can read). The network is the system's. Needs root.
"""
import contextlib
import os
import pathlib
import signal
import subprocess

from tests.support import net

OURS = ("/var/lib", "/var/spool", "/run")
FIRST_ID = 61200
# The shell stays: it keeps its user, so that the kernel ends it, and all with it, when whoever started it dies.
ENTER = r"""
set -e
ours=$1; shift
for file in passwd group resolv.conf; do mount --bind "$ours/$file" "/etc/$file"; done
for folder in /var/lib /var/spool /run; do mount --bind "$ours$folder" "$folder"; done
while [ "$1" != -- ]; do mount --bind "$2" "$1"; shift 2; done
shift
"$@" & wait $!
"""


class Jail:
    def __init__(self, folder, users, shown):
        """users: names; each gets an id from FIRST_ID on, and a group of its name. shown: {path inside: folder}."""
        self.folder = pathlib.Path(folder)
        self.shown = shown
        self.ids = {name: FIRST_ID + i for i, name in enumerate(users)}
        self._accounts()
        for path in (*OURS, *shown):
            self.path(path).mkdir(parents=True)

    def path(self, inside):
        """Where a path below OURS is outside."""
        return self.folder / inside.lstrip("/")

    def _accounts(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in pathlib.Path("/etc/passwd").read_text().splitlines(True)
                if line.split(":")[0] not in self.ids]
        groups = [line for line in pathlib.Path("/etc/group").read_text().splitlines(True)
                  if line.split(":")[0] not in self.ids]
        kept += [f"{u}:x:{i}:{i}:{u}:/nonexistent:/usr/sbin/nologin\n" for u, i in self.ids.items()]
        groups += [f"{u}:x:{i}:\n" for u, i in self.ids.items()]
        (self.folder / "resolv.conf").write_text("lookup file\nnameserver 127.0.0.1\n")  # nobody is asked, nobody waits
        (self.folder / "passwd").write_text("".join(kept))
        (self.folder / "group").write_text("".join(groups))

    def popen(self, words, log, environment=None):
        """The daemon, which must stay in the foreground; its output goes to the file `log`."""
        shown = [str(word) for pair in self.shown.items() for word in pair]
        enter = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL", "--",
                 "sh", "-c", ENTER, "sh", str(self.folder), *shown, "--", *words]
        with open(log, "ab") as out:
            return subprocess.Popen(enter, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
                                    cwd=str(self.folder))


def end(process):
    """Ends the daemon and all that it started: with the first process of their namespace, which is gone last."""
    for child in net.children(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    net.end_process(process, 5)
