# SPDX-License-Identifier: MIT
"""A password that passed through AUTH is nowhere in the memory of a worker afterwards, whichever way it went.

For root, who may read a worker's memory, and a build without sanitizers, which keep what was freed.
"""
import base64
import hashlib
import re
import unittest

from tests.support.case import Case, certificate_settings, certificates, listener

# Longer than any reply that could lie upon it later, and no ten characters of it twice.
PASSWORD = "".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(5))


def memory_of(pid):
    """Every piece of a process's own memory that can have been written to."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            low, high = (int(x, 16) for x in span.split("-"))
            if not rights.startswith("rw") or not rights.endswith("p"):
                continue
            try:
                memory.seek(low)
                yield memory.read(high - low)
            except OSError:
                continue


def traces(pid, secret):
    """Any ten bytes of it in a row that nobody would say by chance."""
    pieces = {secret[i:i + 10] for i in range(0, len(secret) - 10, 10)}
    pattern = re.compile(b"|".join(map(re.escape, pieces)))
    return [found.group() for piece in memory_of(pid) for found in pattern.finditer(piece)]


class Secrets(Case):
    def gate(self, tls):
        certs = certificates()
        users = {"alice": PASSWORD}
        sink = self.tls_sink(users=users) if tls else self.sink(users=users)
        return self.postern(sink, certificates=certificate_settings(good=certs.good),
                            listeners={"main": listener(tls="implicit" if tls else "none", auth_needs_tls="no",
                                                        **({"certificate": "good"} if tls else {}))},
                            upstreams={"mta": {"tls": "opportunistic" if tls else "none"}})

    def plain(self, c, token):
        c.say(b"AUTH PLAIN " + token, 235)

    def plain_later(self, c, token):
        c.say("AUTH PLAIN", 334)
        c.say(token, 235)

    def login(self, c, _token):
        c.say("AUTH LOGIN", 334)
        c.say(base64.b64encode(b"alice"), 334)
        c.trickle(base64.b64encode(PASSWORD.encode()) + b"\r\n", 100, 0.005)
        c.expect(235)

    def wrong(self, c, token):
        c.say(b"AUTH PLAIN " + base64.b64encode(base64.b64decode(token) + b"?"), 535)

    def test_nothing_stays(self):
        token = base64.b64encode(f"\0alice\0{PASSWORD}".encode())
        for tls in (False, True):
            p = self.gate(tls)
            for how in (self.plain, self.plain_later, self.login, self.wrong):
                with self.subTest(tls=tls, how=how.__name__):
                    c = self.client(p, tls=tls)
                    c.hello()
                    how(c, token)
                    c.say("NOOP", 250)  # a line that came in pieces is kept until the next one begins
                    for pid in p.workers():
                        self.assertEqual(traces(pid, PASSWORD.encode()), [])
                        self.assertEqual(traces(pid, base64.b64encode(PASSWORD.encode())), [])
                        self.assertEqual(traces(pid, token), [])
                    c.close()


if __name__ == "__main__":
    unittest.main()
