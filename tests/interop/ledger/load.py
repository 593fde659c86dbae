# SPDX-License-Identifier: MIT
"""Clients that send messages with nonces, and the book of what became of each attempt.

A message is tried again, under the same nonce, until it is acknowledged or refused for good. Each attempt has a
sender of its own, NONCE.NUMBER@x.test, by which the upstream's messages and the lines of the log are told apart.
"""
import collections
import contextlib
import dataclasses
import random
import threading
import time

from tests.support.client import Closed, Smtp

UNSENT, UNKNOWN, ACKED, REFUSED = "unsent", "unknown", "acked", "refused"
SIZES = (10, 1000, 20000, 60000, 150000, 700000)  # around all thresholds of the configurations here
LINE = "x" * 70 + "\r\n"
IMPATIENT = ("leaves", "hangs up", "gives up")  # at the first try only


@dataclasses.dataclass
class Attempt:
    nonce: str
    number: object
    kind: str
    outcome: str = UNSENT  # UNSENT: its end was not sent; UNKNOWN: it was, and no reply was read
    reply: str = ""
    left: bool = False     # the client did not wait for the reply to the end
    began: float = dataclasses.field(default_factory=time.monotonic)
    ended: float = 0.0

    @property
    def key(self):
        """Senders with -slow have a slow server, so that a client that leaves is gone before the reply is there."""
        return f"{self.nonce}.{self.number}{'-slow' if self.kind == 'leaves' else ''}"

    @property
    def settled(self):
        return self.outcome == ACKED or self.reply.startswith("5")


class Book:
    """All attempts of all clients."""

    def __init__(self):
        self.lock = threading.Lock()
        self.attempts = []

    def open(self, nonce, number, kind):
        attempt = Attempt(nonce, number, kind)
        with self.lock:
            self.attempts.append(attempt)
        return attempt

    def having(self, outcome):
        return [a for a in self.attempts if a.outcome == outcome]

    def count(self):
        return collections.Counter(a.outcome for a in self.attempts)

    def unsettled(self):
        """Nonces that were neither acknowledged nor refused for good."""
        return {a.nonce for a in self.attempts} - {a.nonce for a in self.attempts if a.settled}


class Load:
    """`clients` threads; `with` ends them. finish() lets each settle the message it is at, and begin no other.

    kinds: {name: weight} of how a message is sent, see the methods by_….
    """

    def __init__(self, port, clients, seed, kinds, sizes=SIZES):
        self.port, self.kinds, self.sizes = port, kinds, sizes
        self.book = Book()
        self.stop, self.last = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(n, random.Random(f"{seed}.{n}")))
                        for n in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_exc):
        self.stop.set()
        for t in self.threads:
            t.join()

    def finish(self, seconds):
        """True when every message was settled in time."""
        self.last.set()
        end = time.monotonic() + seconds
        for t in self.threads:
            t.join(max(0.0, end - time.monotonic()))
        return not any(t.is_alive() for t in self.threads)

    # ---- one client ----

    def client(self, name, chance):
        number = 0
        while not self.stop.is_set() and not self.last.is_set():
            number += 1
            words = list(self.kinds)
            kind = chance.choices(words, [self.kinds[w] for w in words])[0]
            body = LINE * (chance.choice(self.sizes) // len(LINE)) + "end\r\n"
            more = [f"n{name}-{number}-{i}" for i in range(chance.choice((0, 0, 1, 4)))]
            self.settle(f"n{name}-{number}", kind, body, chance, more)
            for nonce in more:  # what the connection of the first did not settle
                self.settle(nonce, kind, body, chance)

    def settle(self, nonce, kind, body, chance, more=None):
        """Tries a message until it is settled. Its connection carries those of `more` too, which are taken off."""
        for number in range(1000):
            if self.stop.is_set():
                return
            attempt = self.book.open(nonce, number, kind if number == 0 or kind not in IMPATIENT else "plain")
            try:
                with Smtp(self.port, timeout=20) as c:
                    self.session(c, attempt, body, more or [], chance)
            except (OSError, Closed, AssertionError) as error:
                attempt.reply = attempt.reply or repr(error)
            attempt.ended = attempt.ended or time.monotonic()
            if attempt.settled:
                return
            time.sleep(chance.uniform(0.005, 0.05))

    def session(self, c, attempt, body, more, chance):
        c.expect(220)
        offer = c.ehlo()
        if attempt.kind in ("tls", "chunks") and "STARTTLS" in offer:
            c.starttls()
            offer = c.ehlo()
        self.message(c, attempt, body, offer, chance)
        attempt.ended = time.monotonic()
        while more and attempt.outcome == ACKED and not self.last.is_set():
            attempt = self.book.open(more[0], "first", attempt.kind)
            try:
                self.message(c, attempt, body, offer, chance)
            finally:
                attempt.ended = time.monotonic()
            if attempt.settled:
                more.pop(0)
        if attempt.kind not in IMPATIENT:
            with contextlib.suppress(OSError, Closed, AssertionError):
                c.quit()

    def message(self, c, attempt, body, offer, chance):
        text = (f"Subject: {'refuse me' if attempt.kind == 'refused' else 'pass'}\r\n"
                f"X-Attempt: {attempt.key}\r\n\r\n{body}").encode()
        recipient = "data554@y.test" if attempt.kind == "refused above" else "b@y.test"
        envelope = [f"MAIL FROM:<{attempt.key}@x.test>", f"RCPT TO:<{recipient}>"]
        if attempt.kind == "chunks" and "CHUNKING" in offer:
            return self.by_chunks(c, attempt, envelope, text)
        if not self.say(c, attempt, [*envelope, "DATA"], attempt.kind == "pipelined" and "PIPELINING" in offer):
            return None
        wire = text + b".\r\n"
        cut = len(wire) - (chance.randint(1, 5) if attempt.kind == "gives up" else len(wire) // 2)
        c.send(wire[:cut])
        if attempt.kind == "gives up":
            return c.close()
        attempt.outcome = UNKNOWN  # from here on
        c.send(wire[cut:])
        if attempt.kind in IMPATIENT:
            return self.leave(c, attempt)
        return self.note(attempt, c.reply())

    def by_chunks(self, c, attempt, envelope, text):
        if not self.say(c, attempt, envelope, True):
            return
        size = max(1, len(text) // 3)
        pieces = [text[i:i + size] for i in range(0, len(text), size)]
        for piece in pieces:
            last = piece is pieces[-1]
            attempt.outcome = UNKNOWN if last else UNSENT
            c.send(b"BDAT %d%b\r\n%b" % (len(piece), b" LAST" if last else b"", piece))
            reply = c.reply()
            if last or reply.code != 250:
                return self.note(attempt, reply)

    def say(self, c, attempt, commands, at_once):
        """False when one was refused: the attempt is over."""
        if at_once:
            c.send("".join(f"{w}\r\n" for w in commands))
        for w in commands:
            if not at_once:
                c.send(f"{w}\r\n")
            reply = c.reply()
            if reply.code not in (250, 354):
                self.note(attempt, reply)
                return False
        return True

    def leave(self, c, attempt):
        """With RST, so that postern can know it, or by an end of its half, which may only mean that it has said all."""
        attempt.left = True
        time.sleep(0.02)
        if attempt.kind == "leaves":
            c.reset()
        else:
            c.close()

    def note(self, attempt, reply):
        attempt.reply = str(reply)
        attempt.outcome = ACKED if reply.code == 250 else REFUSED
