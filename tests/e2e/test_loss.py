# SPDX-License-Identifier: MIT
"""The loss oracle: whatever dies under load, what was acknowledged is there once, what was refused is not.

A 4xx behind the end of a message may mean that the outcome is unknown (the client tries again, and a duplicate is
the lesser evil). That is right only where the upstream or postern as a whole was lost: see `doubts`.
"""
import collections
import contextlib
import os
import random
import signal
import threading
import time
import unittest
import uuid

from tests.support import net
from tests.support.case import Case, with_filters
from tests.support.client import Closed, Smtp

RULES = "[header:Subject]\n/refuse me/ REJECT 5.7.1 as asked\n"


class Load:
    """Clients that send messages with nonces and note what became of each."""

    def __init__(self, port, clients):
        self.port = port
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.outcome = {}  # nonce -> accepted, deferred, refused, unknown
        self.threads = [threading.Thread(target=self.client, args=(n,)) for n in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_exc):
        self.stop.set()
        for t in self.threads:
            t.join()

    def client(self, number):
        chance = random.Random(number)
        while not self.stop.is_set():
            try:
                with Smtp(self.port, timeout=20) as c:
                    c.hello()
                    for _ in range(chance.randint(1, 5)):
                        self.message(c, chance)
                    c.quit()
            except (OSError, Closed, AssertionError):
                time.sleep(0.01)

    def message(self, c, chance):
        nonce = uuid.uuid4().hex
        subject = "refuse me" if chance.random() < 0.1 else "pass"
        size = chance.choice((10, 1000, 20000, 400000))
        c.envelope()
        c.say("DATA", 354)
        self.note(nonce, "unknown")
        reply = c.content(f"Subject: {subject}\r\nX-Nonce: {nonce}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72))
        self.note(nonce, {2: "accepted", 4: "deferred", 5: "refused"}[reply.code // 100])

    def note(self, nonce, outcome):
        with self.lock:
            self.outcome[nonce] = outcome

    def having(self, outcome):
        return {n for n, o in self.outcome.items() if o == outcome}


class Loss(Case):
    strict_sink = False  # connections are cut anywhere

    def gate(self, sink, workers=2):
        return self.postern(sink, files={"r.rules": RULES}, workers=workers,
                            **with_filters("content", content={"plugin": "content", "rules": ["r.rules"]}))

    def stored(self, sink):
        counts = collections.Counter()
        for m in sink.messages():
            head = m.content.partition(b"\r\n\r\n")[0].decode()
            counts[head.partition("X-Nonce: ")[2][:32]] += 1
        return counts

    def check(self, load, sink, least, doubts=False):
        counts = self.stored(sink)
        accepted = load.having("accepted")
        refused = load.having("refused") | (set() if doubts else load.having("deferred"))
        self.assertGreater(len(accepted), least, "too little happened for a proof")
        self.assertEqual({n: counts[n] for n in accepted if counts[n] != 1}, {}, "acknowledged, and not there once")
        self.assertEqual({n for n in refused if counts[n]}, set(), "refused, and yet there")
        self.assertEqual([n for n, c in counts.items() if c > 1], [], "there twice")

    def test_workers_killed_under_load(self):
        sink = self.sink(delay=0.002)
        p = self.gate(sink)
        p.deaths_expected = True
        killed = 0
        with Load(p.port, 8) as load:
            end = time.monotonic() + 12
            while time.monotonic() < end:
                time.sleep(random.uniform(0.2, 0.6))
                with contextlib.suppress(ProcessLookupError, IndexError):
                    os.kill(random.choice(p.workers()), signal.SIGKILL)
                    killed += 1
        self.assertGreater(killed, 8)
        self.check(load, sink, 100)

    def test_everything_killed_and_restarted(self):
        sink = self.sink(delay=0.002)
        p = self.gate(sink)
        with Load(p.port, 6) as load:
            for _ in range(5):
                time.sleep(random.uniform(0.5, 1.0))
                p.kill()
                p.log_file.rename(p.log_file.with_suffix(f".{time.monotonic_ns()}"))
                p.start()
            time.sleep(1)
        self.check(load, sink, 50, doubts=True)

    def test_stopped_and_reloaded_under_load(self):
        sink = self.sink(delay=0.002)
        p = self.gate(sink)
        with Load(p.port, 6) as load:
            for _ in range(4):
                time.sleep(0.5)
                p.reload()
                time.sleep(0.3)
                p.stop()
                p.log_file.rename(p.log_file.with_suffix(f".{time.monotonic_ns()}"))
                p.start()
        self.check(load, sink, 50)
        self.assertEqual(load.having("unknown") & set(self.stored(sink)), set(), "a clean stop leaves no doubt")

    def test_upstream_that_drops_connections(self):
        sink = self.sink(rules=[{"at": "DOT", "skip": 7, "times": 60, "silent": True, "close": True, "match": "."},
                                {"at": "RCPT", "skip": 20, "times": 20, "silent": True, "reset": True}])
        p = self.gate(sink)
        with Load(p.port, 6) as load:
            time.sleep(6)
        self.check(load, sink, 20)

    def test_clients_that_leave_at_any_moment(self):
        sink = self.sink(delay=0.01)
        p = self.gate(sink)
        chance = random.Random(5)
        whole = (b"EHLO me\r\n", b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n", b"Subject: t\r\nX-Nonce: ",
                 b"\r\n\r\nbody\r\n.\r\n")
        complete = {}
        for i in range(150):
            nonce = uuid.uuid4().hex
            cut = chance.randint(1, len(whole[3]))
            with contextlib.suppress(OSError, Closed, AssertionError):
                c = Smtp(p.port)
                c.expect(220)
                c.say("EHLO me", 250)
                c.send(whole[1])
                for _ in range(3):
                    c.reply()
                c.send(whole[2] + nonce.encode() + whole[3][:cut])
                complete[nonce] = cut == len(whole[3])
                c.reset() if i % 2 else c.close()
        net.wait_until(lambda: len(p.events("transaction")) >= len(complete), 20, "all transactions to end")
        counts = self.stored(sink)
        self.assertEqual([n for n in counts if counts[n] > 1 or not complete[n]], [])


if __name__ == "__main__":
    unittest.main()
