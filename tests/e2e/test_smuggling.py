# SPDX-License-Identifier: MIT
"""One message, one end: no byte sequence makes postern and its upstream disagree (area SM of the catalogue)."""
import random
import re
import time
import unittest

from tests.support import net
from tests.support.case import Case, listener
from tests.support.client import Closed

TAIL = (b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nSubject: pwned\r\n\r\nx\r\n.\r\n")
HEAD = b"Subject: t\r\n\r\nbody"
BARE = {  # name: sequence with CR or LF on its own
    "SM-02": b"\n.\r\n", "SM-03": b"\r\n.\n", "SM-04": b"\r.\r", "SM-05": b"\r.\n", "SM-06": b"\n.\r",
    "SM-07": b"\r.\r\n", "SM-08": b"\r\n.\rX", "SM-09": b"\r\n.\r\r\n", "SM-10": b"\r\r\n.\r\r\n",
    "SM-13": b"\n\r.\n\r", "SM-01": b"\n.\n", "LF alone": b"\n", "CR alone": b"\r",
}
NULS = {"SM-11": b"\r\n\0.\r\n", "SM-12": b"\r\n.\0\r\n"}
HARMLESS = {
    "SM-14 VT": b"\x0b.\x0b", "SM-14 FF": b"\x0c.\r\n", "SM-14 NEL": b"\x85.\r\n", "SM-14 NEL UTF-8": b"\xc2\x85.\r\n",
    "SM-14 LS": b"\xe2\x80\xa8.\r\n", "SM-15 space": b"\r\n. \r\n", "SM-15 tab": b"\r\n.\t\r\n",
    "SM-15 x": b"\r\n.x\r\n",
}


def end_of_data(wire):
    """The reference: where the content ends that begins at wire[0]; only CRLF . CRLF, or .CRLF at once."""
    return (b"\r\n" + wire).index(b"\r\n.\r\n") + 3


def meant(wire):
    """What the content says, dots unstuffed."""
    content = wire[:end_of_data(wire) - 3]
    return re.sub(rb"\r\n\.", b"\r\n", b"\r\n" + content)[2:]


def normalized(content):
    """LF -> CRLF, CR on its own -> space."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", re.sub(rb"\r(?!\n)", b" ", content))


class Smuggling(Case):
    def setUp(self):
        super().setUp()
        self.mta = self.sink()
        self.gate = self.postern(self.mta, listeners={"main": None, "reject": listener(),
                                                      "normalize": listener(bare_newline="normalize")},
                                 limits={"errors": 1000})

    def begin(self, name="reject"):
        c = self.ready_client(self.gate, listener=name)
        c.envelope()
        c.say("DATA", 354)
        return c

    def one_reply(self, c, wire):
        """Sends content up to its true end; the one reply to it, and that nothing else was answered."""
        c.send(wire)
        reply = c.reply()
        c.say("NOOP", 250)
        return reply

    def check_nothing_smuggled(self):
        for message in self.mta.messages():
            self.assertNotEqual(message.sender, "evil@x.test")
            for key in ("bare_lf", "bare_cr", "nul"):
                self.assertEqual(message.envelope[key], 0, message.content)
        self.assertFalse(any("evil" in line for line in self.mta.commands()))

    def places(self, sequence):
        yield HEAD + sequence + TAIL
        yield sequence + TAIL  # SM-18: right after the 354

    def test_bare_newlines_are_rejected_after_the_true_end(self):
        for name, sequence in {**BARE, **NULS}.items():
            for wire in self.places(sequence):
                with self.subTest(name, wire=wire[:20]):
                    c = self.begin()
                    reply = self.one_reply(c, wire)
                    want = "5.6.0" if name in NULS else "5.5.2"
                    self.assertEqual((reply.code, reply.text[:5]), (550, want), reply)
                    c.close()
        self.assertEqual(self.mta.messages(), [])
        self.check_nothing_smuggled()

    def test_byte_by_byte(self):
        for name, sequence in BARE.items():
            with self.subTest(name):
                c = self.begin()
                c.trickle(HEAD + sequence + TAIL)
                c.expect(550)
                c.say("NOOP", 250)
        self.assertEqual(self.mta.messages(), [])

    def test_normalized_content_is_one_message(self):
        for name, sequence in BARE.items():
            for wire in self.places(sequence):
                with self.subTest(name, wire=wire[:20]):
                    before = len(self.mta.messages())
                    reply = self.one_reply(self.begin("normalize"), wire)
                    self.assertEqual(reply.code, 250, reply)
                    messages = self.mta.messages()[before:]
                    self.assertEqual(len(messages), 1)
                    self.assertIn(b"MAIL FROM:<evil@x.test>\r\n", messages[0].content)
        self.check_nothing_smuggled()

    def test_normalized_nul_is_still_rejected(self):
        for name, sequence in NULS.items():
            with self.subTest(name):
                self.assertEqual(self.one_reply(self.begin("normalize"), HEAD + sequence + TAIL).code, 550)

    def test_sm14_sm15_ordinary_content(self):
        for name, sequence in HARMLESS.items():
            with self.subTest(name):
                wire = HEAD + sequence + b"end\r\n" + TAIL
                self.assertEqual(self.one_reply(self.begin(), wire).code, 250)
                self.assertEqual(self.mta.messages()[-1].content, meant(wire))
        self.check_nothing_smuggled()

    def test_sm16_all_lines_end_in_lf(self):
        wire = b"Subject: t\n\nline\n.\nlast\r\n.\r\n"
        self.assertEqual(self.one_reply(self.begin(), wire).code, 550)
        self.assertEqual(self.one_reply(self.begin("normalize"), wire).code, 250)
        self.assertEqual(self.only_message(self.mta).content, b"Subject: t\r\n\r\nline\r\n.\r\nlast\r\n")

    def test_sm19_empty_message(self):
        self.assertEqual(self.one_reply(self.begin(), b".\r\n").code, 250)
        self.assertEqual(self.only_message(self.mta).content, b"")

    def test_sm20_end_at_buffer_edges(self):
        for edge in (4096, 16384, 65536, 256 * 1024):
            for cut in range(-4, 2):
                with self.subTest(edge=edge, cut=cut):
                    size = edge + cut
                    lines, rest = divmod(size, 64)
                    content = b"x" * 62 + b"\r\n"
                    wire = content * lines + b"y" * rest
                    reply = self.one_reply(self.begin(), wire + b"\r\n.\r\n")
                    self.assertEqual(reply.code, 250)
                    self.assertEqual(self.mta.messages()[-1].content, wire + b"\r\n")

    def test_sm24_stuffing(self):
        self.assertEqual(self.one_reply(self.begin(), b"a: b\r\n\r\n..foo\r\n...\r\n.bar\r\n.\r\n").code, 250)
        self.assertEqual(self.only_message(self.mta).content, b"a: b\r\n\r\n.foo\r\n..\r\nbar\r\n")

    def test_sm30_next_transaction_in_the_same_segment(self):
        c = self.begin()
        c.send(b"Subject: 1\r\n\r\nx\r\n.\r\nMAIL FROM:<c@x.test>\r\nRCPT TO:<d@y.test>\r\nDATA\r\n")
        self.assertEqual([c.reply().code for _ in range(4)], [250, 250, 250, 354])
        self.assertEqual(c.content("Subject: 2\r\n\r\ny\r\n").code, 250)
        self.assertEqual([m.sender for m in self.mta.messages()], ["a@x.test", "c@x.test"])

    def test_sm33_sm34_sm35_command_lines(self):
        cases = (b"MAIL FROM:<a@x.test>\nRCPT TO:<b@y.test>\nDATA\n\r\n", b"RSET\rQUIT\r\n", b"NOOP \0\r\n",
                 b"MAIL FROM:<a\0b@x.test>\r\n", b"RSET\n", b"NOOP x\ry\r\n")
        before = [line for line in self.mta.commands() if line.startswith(("MAIL", "RCPT", "DATA"))]
        for wire in cases:
            with self.subTest(wire=wire):
                c = self.ready_client(self.gate, listener="reject")
                c.send(wire)
                self.assertEqual(str(c.expect(500))[:9], "500 5.5.2")
                self.assertTrue(c.at_eof())
        c = self.ready_client(self.gate, listener="reject")
        c.send(b"MAIL FROM:<a\r\nRCPT TO:<x>@x.test>\r\n")
        self.assertEqual(c.reply().code // 100, 5)
        self.assertEqual(c.reply().code // 100, 5)
        self.assertEqual([line for line in self.mta.commands() if line.startswith(("MAIL", "RCPT", "DATA"))], before)

    def test_sm36_listeners_do_not_mix(self):
        first, second = self.begin("reject"), self.begin("normalize")
        for part in (HEAD, b"\n.\n", b"more\r\n.\r\n"):
            first.send(part)
            second.send(part)
        self.assertEqual((first.reply().code, second.reply().code), (550, 250))
        self.check_nothing_smuggled()

    def test_sm39_refusals_are_explained_in_the_log(self):
        self.one_reply(self.begin(), HEAD + b"\n.\n" + TAIL)
        line = self.gate.transactions()[-1]
        self.assertEqual(line["verdict"], "rejected")
        self.assertTrue(any(re.search("(?i)bare", v) for v in line.values()), line)

    def test_sm40_random_sequences(self):
        """Every mix of the dangerous bytes ends where the reference says, and means what it says."""
        chance = random.Random(40)
        for n in range(400):
            sequence = bytes(chance.choices(b"\r\n.\0a", weights=(4, 4, 4, 1, 1), k=chance.randint(1, 12)))
            wire = HEAD + sequence + TAIL
            wire = wire[:end_of_data(wire)]
            content = wire[:-3]
            with self.subTest(sequence=sequence):
                name = "normalize" if n % 4 == 0 else "reject"
                reply = self.one_reply(self.begin(name), wire)
                dirty = re.search(rb"(?<!\r)\n|\r(?!\n)", content)
                if b"\0" in content or (dirty and name == "reject"):
                    self.assertEqual(reply.code, 550)
                else:
                    self.assertEqual(reply.code, 250)
                    if not dirty:
                        self.assertEqual(self.mta.messages()[-1].content, meant(wire))
        self.check_nothing_smuggled()


class EndOfStreams(Case):
    def test_a_lost_client_leaves_no_message(self):
        sink = self.sink()
        p = self.postern(sink)
        for how in ("close", "reset"):
            c = self.ready_client(p)
            c.envelope()
            c.say("DATA", 354)
            c.send(b"Subject: half\r\n\r\nhalf\r\n")
            time.sleep(0.1)
            getattr(c, how)()
        net.wait_until(lambda: len(p.events("transaction")) >= 2, 10, "two aborted transactions")
        self.assertEqual({t["verdict"] for t in p.events("transaction")}, {"aborted"})
        self.assertEqual(sink.messages(), [])

    def test_sm29_stopped_in_the_middle_of_content(self):
        sink = self.sink()
        p = self.postern(sink, timeouts={"drain": "500ms"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(b"Subject: half\r\n\r\nhalf\r\n")
        p.stop()
        try:
            self.assertEqual(c.reply().code, 421)
        except (Closed, ConnectionError):
            pass
        self.assertEqual(sink.messages(), [])


if __name__ == "__main__":
    unittest.main()
