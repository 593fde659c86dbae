# SPDX-License-Identifier: MIT
"""Makes client scripts from a seed: what an honest, a hurried, a confused and a rude client would send.

    script = generate("postfix", 17, offered)      # offered: the EHLO keywords that scripts may use

The same seed and offer give the same script, on every machine. A script is one hello, some pieces, one ending; a
piece is a transaction, an error, or small talk. A rude piece, if there is one, is the last.
"""
import base64
import random

from tests.interop.oracle import words
from tests.interop.oracle.content import content, hostile_content
from tests.interop.oracle.script import NONCE, Script, Step, stuffed


def command(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\r\n"


class Maker:
    def __init__(self, server, number, offered):
        self.seed = f"{server}:{number}"
        self.random = random.Random(self.seed)
        self.server = server
        self.offered = offered
        self.steps = []
        self.extended = False  # EHLO was said, and CHUNKING offered

    # ---- choices ----

    def chance(self, share):
        return self.random.random() < share

    def pick(self, *weighted):
        """One of (weight, value)."""
        return self.random.choices([v for _, v in weighted], [w for w, _ in weighted])[0]

    def some(self, table):
        """One word of a table; the rows that need an extension only where it is offered."""
        return self.random.choice([w for w, needs in table if not needs or needs in self.offered])

    # ---- steps ----

    def cuts(self, units):
        size = sum(map(len, units))
        how = self.pick((6, "whole"), (3, "some"), (1, "bytes"))
        if how == "whole":
            return ()
        if how == "bytes" and size < 200:
            return tuple(range(1, size))
        return tuple(sorted(self.random.sample(range(1, size), min(size - 1, self.random.randint(1, 5)))))

    def say(self, *units, needs=0):
        self.steps.append(Step(units, self.cuts(units), needs))

    def together_or_not(self, units):
        """Commands that may be pipelined: in one step, or in steps at random."""
        while units:
            n = self.pick((3, len(units)), (2, 1), (1, min(2, len(units))))
            self.say(*units[:n])
            units = units[n:]

    # ---- pieces ----

    def hello(self):
        name = self.pick((8, "client.example.org"), (1, "[127.0.0.1]"), (1, "a"))
        how = self.pick((90, "EHLO"), (6, "HELO"), (2, "ehlo"), (2, ""))
        self.extended = how.upper() == "EHLO" and "CHUNKING" in self.offered
        if how:
            self.say(command(f"{how} {name}"))

    def sender(self):
        address = self.some(words.SENDERS)
        parameters = [self.some(words.MAIL_PARAMETERS) for _ in range(self.pick((6, 0), (3, 1), (1, 2)))]
        unique = {p.partition("=")[0]: p for p in parameters}
        return command(" ".join([f"{self.pick((9, 'MAIL FROM:'), (1, 'mail from:'))}<{address}>", *unique.values()]))

    def recipient(self):
        address = self.some(words.RECIPIENTS)
        parameters = [self.some(words.RCPT_PARAMETERS) for _ in range(self.pick((8, 0), (1, 1)))]
        parameters = [p for p in parameters if p]
        return command(" ".join([f"{self.pick((9, 'RCPT TO:'), (1, 'rcpt to:'))}<{address}>", *parameters]))

    def transaction(self):
        envelope = [self.sender()] + [self.recipient() for _ in range(self.pick((8, 1), (4, 2), (2, 4), (1, 0)))]
        if self.chance(0.05):
            self.random.shuffle(envelope)
        how = self.pick((12, "DATA"), (4 * self.extended, "BDAT"), (1, "RSET"), (1, ""))
        if how == "DATA":
            self.together_or_not([*envelope, b"DATA\r\n"])
            self.say(stuffed(content(self.random)) + b".\r\n", *self.behind_content(), needs=354)
        elif how == "BDAT":
            self.together_or_not([*envelope, *self.chunks()])
        else:
            self.together_or_not(envelope + ([b"RSET\r\n"] if how else []))

    def behind_content(self):
        """What a hurried client pipelines behind the end of a message."""
        return self.pick((9, ()), (1, (b"RSET\r\n",)), (1, (b"MAIL FROM:<next@x.test>\r\n", b"RSET\r\n")))

    def chunks(self):
        """Exim is spared chunks that are too big: it spools the next messages of the connection wrongly."""
        left, made = content(self.random, big=self.server != "exim"), []
        for _ in range(self.pick((4, 0), (2, 1), (1, 4))):
            n = self.random.randint(0, len(left))
            n -= next((i for i in range(1, len(NONCE)) if left[n - i:].startswith(NONCE)), 0)  # never through it
            made.append(b"BDAT %d\r\n" % n + left[:n])
            left = left[n:]
        return [*made, b"BDAT %d LAST\r\n" % len(left) + left]

    def small_talk(self):
        self.together_or_not([command(self.some(words.SMALL_TALK))])

    def error(self):
        """A wrong command, alone or within a transaction that goes on."""
        bad = command(self.some(words.ERRORS))
        if self.chance(0.5):
            return self.wrong(bad)
        envelope = [self.sender(), self.recipient()]
        place = self.random.randint(0, 2)
        for unit in envelope[:place]:
            self.say(unit)
        self.wrong(bad)
        for unit in envelope[place:]:
            self.say(unit)
        self.say(b"RSET\r\n")

    def wrong(self, bad):
        """It may be right where it is, even to the server alone: what it asks for then follows."""
        self.say(bad)
        self.say(b".\r\n", needs=354)

    def auth(self):
        def word(text):
            return base64.b64encode(text.encode())
        right, wrong = word("\0alice\0sesame"), word("\0alice\0wrong")
        dialogue = self.pick(
            (3, [b"AUTH PLAIN " + right]), (3, [b"AUTH PLAIN " + wrong]), (1, [b"AUTH PLAIN", right]),
            (1, [b"AUTH PLAIN", b"*"]), (1, [b"AUTH PLAIN", b"!"]), (1, [b"AUTH PLAIN !"]),
            (2, [b"AUTH LOGIN", word("alice"), word("sesame")]), (1, [b"AUTH LOGIN", word("alice"), word("wrong")]),
            (1, [b"AUTH LOGIN", b"*"]), (1, [b"AUTH XYZZY"]), (1, [b"AUTH"]), (1, [b"AUTH LOGIN", word("alice"), b"*"]))
        for i, line in enumerate(dialogue):
            self.say(line + b"\r\n", needs=334 if i else 0)

    def rudeness(self):
        """The last piece, whose replies nobody can count."""
        kinds = words.rude(self.random, hostile_content)
        if self.server == "opensmtpd":
            kinds = [k for k in kinds if k[1][0] not in words.BEHIND_THE_END]
        kind, before, units = self.pick(*kinds)
        for unit in before:
            self.say(unit)
        needs = 354 if before and before[-1] == b"DATA\r\n" else 0
        self.steps.append(Step(tuple(units), self.cuts(units) if self.chance(0.5) else (), needs, kind))

    def script(self):
        early = b"EHLO early.example.org\r\n" if self.chance(0.02) else b""
        if not early:
            self.hello()
            for _ in range(self.pick((2, 1), (4, 2), (3, 3), (1, 6))):
                piece = self.pick((8, self.transaction), (4, self.error), (2, self.small_talk),
                                  (1 if "AUTH" in self.offered else 0, self.auth))
                piece()
            if self.chance(0.2):
                self.rudeness()
        return Script(self.seed, tuple(self.steps), "quit" if early else self.ending(), early)

    def ending(self):
        """Behind rudeness QUIT, so that all replies to it are seen; but not where it would be swallowed."""
        rude = self.steps[-1].rude
        leave = self.pick((2, "close"), (1, "reset"))
        if rude:
            return leave if rude in words.UNFINISHED else "quit"
        return "quit" if self.chance(0.85) else leave


def generate(server, number, offered):
    return Maker(server, number, frozenset(offered)).script()
