# SPDX-License-Identifier: MIT
"""The transparency oracle (tests/interop/oracle): random client scripts, to each server directly and through postern.

200 scripts for each server, 2000 with `tests/run --long`. What fails is shrunk and printed, with its seed; to go on
with it by hand: python3 -m tests.interop.oracle --help.
"""
import functools
import os
import re
import unittest

from tests.interop.oracle import accepted, shrink
from tests.interop.oracle.generate import generate
from tests.interop.oracle.liar import liar
from tests.interop.oracle.rig import Rig
from tests.interop.oracle.script import Script
from tests.support import net, servers
from tests.support.case import Case
from tests.support.client import Smtp

SCRIPTS = 2000 if os.environ.get("POSTERN_LONG") else 200
EVERYTHING = ("PIPELINING", "CHUNKING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "AUTH")
FEW = 100


class Transparency(Case):
    """The same replies, the same messages; what differs is in tests/interop/oracle/accepted.py, with its reason."""

    def compare(self, server, count=SCRIPTS, **options):
        with Rig(server, self.fresh("rig"), **options) as rig:
            report = rig.check(rig.scripts(1, count))
            print(f"\nseeds {server}:1 to {server}:{count}; {report}")
            if report.failures:
                self.fail(f"{report}\n\n{shrink.tell(rig, report)}")
            self.assertGreater(report.messages, count / 4)
            self.assertLess(report.parted, count / 2)

    def test_sink(self):
        self.compare("sink")

    def test_postfix(self):
        self.compare("postfix")

    def test_postfix_within_tls(self):
        self.compare("postfix", SCRIPTS // 2, tls=True)

    def test_postfix_streamed_to(self):
        self.compare("postfix", SCRIPTS // 2, streams=True)

    def test_exim_streamed_to(self):
        self.compare("exim", SCRIPTS // 2, streams=True)

    def test_exim(self):
        self.compare("exim")

    def test_aiosmtpd(self):
        self.compare("aiosmtpd")

    def test_opensmtpd(self):
        self.compare("opensmtpd")


class Liars(Case):
    """The oracle fails when it should: someone between postern and the server spoils a little of what is said."""

    def failures(self, spoil):
        """What differed, as texts."""
        with Rig("sink", self.fresh("rig"), functools.partial(liar, spoil=spoil)) as rig:
            return [str(f.differences[0]) for f in rig.check(rig.scripts(1, FEW)).failures]

    def test_an_honest_middle_man_is_not_noticed(self):
        self.assertEqual(self.failures(lambda _up, data: data), [])

    def test_spoilt(self):
        def down(before, after):
            return lambda up, data: data if up else data.replace(before, after)

        def upwards(before, after):
            return lambda up, data: data.replace(before, after) if up else data

        lies = {
            "a letter of a reply": ("RCPT", down(b"250 2.1.5 Ok", b"250 2.1.5 OK")),
            "a code": ("RCPT", down(b"550 5.1.1", b"551 5.1.1")),
            "a byte of a body": ("messages", upwards(b"fox", b"fix")),
            "a byte less": ("messages", upwards(b"quick the", b"quickthe")),
            "a recipient": ("messages", upwards(b"TO:<r-", b"TO:<t-")),
            "a parameter": ("messages", upwards(b"BODY=8BITMIME", b"BODY=7BIT")),
            "a dot": ("messages", upwards(b"\r\n...", b"\r\n..")),
            "an acknowledgement": ("not honest", down(b"552 5.3.4 Message too big", b"250 2.0.0 queued as 12345")),
        }
        for what, (word, spoil) in lies.items():
            with self.subTest(what):
                found = self.failures(spoil)
                self.assertTrue(any(word in text for text in found), found[:3])
                self.assertLess(len(found), FEW)

    def test_a_failing_script_is_shrunk_and_can_be_played_again(self):
        def spoil(up, data):
            return data if up else data.replace(b"250 2.1.5 Ok", b"250 2.1.5 OK")
        with Rig("sink", self.fresh("rig"), functools.partial(liar, spoil=spoil)) as rig:
            failure = rig.check(rig.scripts(1, FEW)).failures[0]
            small = shrink.shrink(rig, failure).script
            self.assertLessEqual(len(small.steps), 3, small.dumps())
            self.assertIn("250 2.1.5 OK", shrink.replay(rig, small.dumps()))


class Scripts(unittest.TestCase):
    def test_the_same_seed_gives_the_same_script(self):
        for server in servers.NAMES:
            for number in range(50):
                self.assertEqual(generate(server, number, EVERYTHING), generate(server, number, reversed(EVERYTHING)))

    def test_what_is_printed_can_be_played(self):
        for number in range(300):
            script = generate("postfix", number, EVERYTHING)
            self.assertEqual(Script.loads(script.dumps()), script)

    def test_segments_are_the_script(self):
        for number in range(300):
            for step in generate("sink", number, EVERYTHING).steps:
                self.assertEqual(b"".join(step.segments(b"@NONCE@")), b"".join(step.units))

    def test_every_kind_of_piece_is_made(self):
        text = "\n".join(generate("sink", n, EVERYTHING).dumps() for n in range(1000))
        for word in ("BDAT", "DATA", "AUTH PLAIN", "SMTPUTF8", "rude='bare newline in content'", "XYZZY", "HELO",
                     "early=b'EHLO", "ending='reset'", "cuts=(1, 2", "NOTIFY=", "X-Refuse", "refuse550"):
            self.assertIn(word, text)


class Accepted(unittest.TestCase):
    def test_every_rule_has_a_reason_of_its_own_and_names_that_are_there(self):
        names = set(accepted.own_replies().values()) | {"HELLO", ""}
        for rule in accepted.RULES:
            with self.subTest(rule.name):
                self.assertGreater(len(rule.reason), 20)
                self.assertTrue(any(re.fullmatch(rule.own, name) for name in names))
        self.assertEqual(len({r.name for r in accepted.RULES}), len(accepted.RULES))
        self.assertLess(len(accepted.RULES), 40)


class Servers(unittest.TestCase):
    """tests.support.servers does what its docstring says."""

    def test_their_words_and_a_clean_end(self):
        for name in servers.NAMES:
            with self.subTest(name), servers.start(name) as server:
                with Smtp(server.port) as c:
                    c.hello()
                    c.say("MAIL FROM:<a@x.test>", 250)
                    c.say("RCPT TO:<refuse550@y.test>", 550)
                    c.say("RCPT TO:<defer451@y.test>", 451)
                    c.say("RCPT TO:<b@y.test>", 250)
                    c.say("DATA", 354)
                    c.content("Subject: x\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n..\r\n")
                server.settle()
                message, = server.messages()
                self.assertEqual((message.sender, message.recipients[0][0]), ("a@x.test", "b@y.test"))
                self.assertTrue(message.content.endswith(b"\r\n\r\n.\r\n"), message)
            self.assertFalse(net.accepts("127.0.0.1", server.port))


if __name__ == "__main__":
    unittest.main()
