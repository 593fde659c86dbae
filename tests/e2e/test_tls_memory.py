# SPDX-License-Identifier: MIT
"""TL-22: sessions live with clients, so a server that keeps none does not grow with them. For a build without sanitizers,
which keep what was freed."""
import os
import socket

from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.client import trusting


class Memory(Case):
    def test_many_handshakes(self):
        p = self.postern(self.sink(), workers=1, listeners={"main": listener(tls="implicit", certificate="good")},
                         certificates=certificate_settings(good=certificates().good))
        self.handshakes(p, 150)  # what is allocated once
        before = self.resident(p)
        self.handshakes(p, 600)
        self.assertLess(self.resident(p) - before, 600 * 1024)  # a session is some 3 KiB

    def handshakes(self, p, count):
        context = trusting()
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", p.port)) as raw, context.wrap_socket(raw) as s:
                s.recv(100)

    def resident(self, p):
        with open(f"/proc/{p.workers()[0]}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
