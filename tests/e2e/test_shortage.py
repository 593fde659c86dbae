# SPDX-License-Identifier: MIT
"""Supervisor and workers when the system is short of something: nobody is lost for it."""
import os
import pwd
import resource
import signal
import subprocess

from tests.support.case import Case


def allow_descriptors(pid, count):
    """As the worker's own user, who may do that without any capability."""
    user = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={count}:"], check=True, **user)


def no_more_descriptors(pid):
    """Every descriptor that the process would open now is refused. Returns its limit of before."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    allow_descriptors(pid, next(n for n in range(len(used) + 1) if n not in used))
    return before


class OutOfDescriptors(Case):
    """Strangers can use up a worker's descriptors. What it already does must go on."""

    def setUp(self):
        super().setUp()
        self.gate = self.postern(self.sink(), log={"to": str(self.folder / "log")})
        self.worker = self.gate.workers()[0]
        self.session = self.ready_client(self.gate)
        self.session.message()  # its upstream connection is there

    def check_all_goes_on(self):
        self.assertEqual(self.session.say("NOOP").code, 250)
        self.assertEqual(self.gate.workers(), [self.worker])

    def test_a_reload_is_refused_and_the_sessions_stay(self):
        before = no_more_descriptors(self.worker)
        self.assertRegex(self.gate.reload(), "reload: refused: worker 1: .*descriptors")
        self.check_all_goes_on()
        allow_descriptors(self.worker, before)
        self.assertIn("generation", self.gate.reload())
        self.check_all_goes_on()

    def test_a_rotated_log_costs_no_session(self):
        before = no_more_descriptors(self.worker)
        self.gate.signal(signal.SIGUSR1)
        self.gate.wait_log("worker 1: the log cannot be reopened: .*descriptors")
        self.check_all_goes_on()
        allow_descriptors(self.worker, before)
        self.gate.signal(signal.SIGUSR1)
        self.session.message()
        self.check_all_goes_on()
