# SPDX-License-Identifier: MIT
"""The smuggling matrix: every end-of-data sequence of the catalogue, through the daemon, into each real server.

    client: DATA or BDAT | body SEQUENCE evil commands | end  ->  postern  ->  server  ->  what it committed

Each sequence goes to a listener that rejects and to one that normalizes, by DATA and by BDAT (cut in its middle), to
daemons that hold the body or stream it, by DATA or by BDAT. Whatever the server would tolerate, it commits one message
or none, and never one of the smuggler's. That it would tolerate a good deal is shown by sending the same to Postfix
without postern. As the first bytes of content (SM-18) the sequences go to the first daemon alone, or with
POSTERN_LONG=1 to all.
"""
import contextlib
import itertools
import os
import pathlib
import re
import unittest

from tests.e2e.test_smuggling import BARE, HARMLESS, HEAD, NULS
from tests.support import net, servers
from tests.support.case import Case, listener
from tests.support.client import Closed, Smtp

LONG = bool(os.environ.get("POSTERN_LONG"))
SEQUENCES = {**BARE, **NULS, **HARMLESS}
IN_CHUNKS = {"the end of DATA": b"\r\n.\r\n", "a stuffed dot": b"\r\n..\r\n"}  # there it is content
EVIL = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<evil@y.test>\r\nDATA\r\nSubject: pwned %s\r\n\r\nx\r\n"
MODES = ("reject", "normalize")
STREAM = {"limits": {"hold": 0, "errors": 1000}}
HOLD = {"limits": {"errors": 1000}}


def by(chunking):
    return {"upstreams": {"mta": {"chunking": "always" if chunking else "no"}}}


DAEMONS = {"held, by DATA": {**HOLD, **by(False)}, "held, by BDAT": {**HOLD, **by(True)},
           "streamed, by DATA": {**STREAM, **by(False)}, "streamed, by BDAT": {**STREAM, **by(True)}}


def wanted(sequence, mode):
    """The beginning of the one right reply."""
    if b"\0" in sequence:
        return "550 5.6.0"
    bare = re.search(rb"(?<!\r)\n|\r(?!\n)", sequence)
    return "550 5.5.2" if bare and mode == "reject" else "250"


def by_data(c, before, sequence, after):
    """The reply, which comes behind the true end and not before."""
    c.say("DATA", 354)
    c.send(before + sequence + after)
    if not c.quiet(0.01):
        raise AssertionError("a reply before the end")
    c.send(b".\r\n")
    return str(c.reply())


def by_chunks(c, before, sequence, after):
    """The first reply that refuses, or the last: two chunks in one segment, cut within the sequence."""
    half = (len(sequence) + 1) // 2
    first, second = before + sequence[:half], sequence[half:] + after
    c.send(b"BDAT %d\r\n%bBDAT %d LAST\r\n%b" % (len(first), first, len(second), second))
    replies = [str(c.reply()) for _ in range(2)]
    if not replies[0].startswith("250"):
        replies.pop()  # 503: the first chunk's refusal has ended the transaction
    return replies[-1]


class Matrix(Case):
    """One server for the whole class, a daemon for each test."""

    server_name = None
    chunking = False    # whether the server offers it
    own_refusal = "$^"  # what the server may say to content that begins strangely

    @classmethod
    def setUpClass(cls):
        cls.holder = contextlib.ExitStack()
        folder = cls.holder.enter_context(net.folder(f"postern-matrix-{cls.server_name}-"))
        cls.server = cls.holder.enter_context(servers.start(cls.server_name, pathlib.Path(folder)))
        cls.numbers = itertools.count(1)

    @classmethod
    def tearDownClass(cls):
        cls.holder.close()

    def setUp(self):
        super().setUp()
        self.accepted, self.refused = set(), set()

    def nonce(self):
        return f"nonce{next(self.numbers):05d}x"

    def one_message(self, c, mode, send, before, sequence):
        """One transaction; afterwards the session has not lost its place."""
        nonce = self.nonce()
        c.envelope()
        reply = send(c, before, sequence, EVIL % nonce.encode())
        (self.accepted if reply.startswith("2") else self.refused).add(nonce)
        c.say("NOOP", 250)
        want = wanted(sequence, mode)
        if not (want == "250" and re.search(self.own_refusal, reply)):
            self.assertEqual(reply[:len(want)], want, reply)

    def committed(self):
        """{nonce: [messages]} of what the server has, once it has come to rest."""
        self.server.settle()
        found = {}
        for message in self.server.messages():
            for nonce in re.findall(rb"pwned (nonce\d+x)", message.content):
                found.setdefault(nonce.decode(), []).append(message)
        return found

    def check_committed(self):
        found = self.committed()
        for nonce in self.accepted:
            self.assertEqual(len(found.get(nonce, [])), 1, nonce)
            message = found[nonce][0]
            self.assertEqual(message.sender, "a@x.test")
            self.assertEqual([r for r, _ in message.recipients], ["b@y.test"])
            self.assertIn(b"MAIL FROM:<evil@x.test>\r\n", message.content)
        self.assertEqual(self.refused & set(found), set())

    def every_sequence(self, name, befores):
        settings = DAEMONS[name]
        gate = self.postern(self.server.port, listeners={
            "main": None, "reject": listener(), "normalize": listener(bare_newline="normalize")}, **settings)
        tried = 0
        for mode, send in itertools.product(MODES, (by_data, by_chunks)):
            sequences = SEQUENCES if send is by_data else {**SEQUENCES, **IN_CHUNKS}
            client = self.ready_client(gate, listener=mode)
            for before, (sequence_name, sequence) in itertools.product(befores, sequences.items()):
                tried += 1
                with self.subTest(sequence_name, mode=mode, before=before, send=send.__name__):
                    try:
                        self.one_message(client, mode, send, before, sequence)
                    except (OSError, Closed) as error:
                        raise AssertionError(f"{error!r}\n{gate.log()[-2000:]}\n{self.server.log()[-2000:]}") from None
        self.assertEqual(len(self.accepted) + len(self.refused), tried)
        self.check_committed()

    def run_daemon(self, name):
        if self.chunking or "BDAT" not in name:
            first = name == next(iter(DAEMONS))
            self.every_sequence(name, (HEAD, b"") if first or LONG else (HEAD,))

    def test_held(self):
        self.run_daemon("held, by DATA")

    def test_held_by_chunks(self):
        self.run_daemon("held, by BDAT")

    def test_streamed(self):
        self.run_daemon("streamed, by DATA")

    def test_streamed_by_chunks(self):
        self.run_daemon("streamed, by BDAT")


class Postfix(Matrix):
    server_name = "postfix"
    chunking = True

    def test_the_matrix_would_see_it(self):
        """Without postern this Postfix takes a smuggler's message: so it is postern that keeps it out."""
        nonce = self.nonce()
        with Smtp(self.server.port) as c, contextlib.suppress(Closed, ConnectionError):
            c.hello()
            c.envelope()
            c.say("DATA", 354)
            c.send(HEAD + BARE["SM-02"] + EVIL % nonce.encode() + b".\r\n")
            for _ in range(5):
                c.reply()
        self.assertEqual([m.sender for m in self.committed()[nonce]], ["evil@x.test"])


class Exim(Matrix):
    server_name = "exim"
    chunking = True


class Opensmtpd(Matrix):
    server_name = "opensmtpd"
    own_refusal = "not RFC 2822 compliant"


class Aiosmtpd(Matrix):
    server_name = "aiosmtpd"


class Sink(Matrix):
    server_name = "sink"


del Matrix  # it has no server, so it is no test


if __name__ == "__main__":
    unittest.main()
