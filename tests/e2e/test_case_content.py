# SPDX-License-Identifier: MIT
"""Cases of content (SM, BD) that other tests leave open; tests/cases.md says which test is for which case.

Each case of BDAT is played to a server that knows CHUNKING and to one that does not.
"""
import contextlib
import functools
import random
import threading
import time
import unittest

from tests.e2e.test_case_resources import LINE, MIB, SANITIZED, Measured, private_memory
from tests.e2e.test_smuggling import BARE, HEAD, NULS, TAIL
from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener, with_filters
from tests.support.client import CONTENT, Closed
from tests.support.sink import EXTENSIONS

BOTH = {"by BDAT": (*EXTENSIONS, "CHUNKING"), "by DATA": EXTENSIONS}
NASTY = (b"Subject: t\r\n\r\n.\r\n..\r\n.x\r\n\r\nQUIT\r\n.\r\nMAIL FROM:<evil@x.test>\r\nBDAT 5 LAST\r\n"
         b"\xe4\xff.\r\n" * 3)
BETWEEN = {  # commands between two chunks, and their codes
    "STARTTLS": 503, "MAIL FROM:<c@x.test>": 503, "DATA": 503, "RCPT TO:<c@y.test>": 503, "NOOP": 250, "XYZZY": 500,
    "RSET": 250, "EHLO again": 250, "HELO again": 250,
}


def with_both(test):
    """Runs the test once for each kind of server; `server(**options)` makes one."""
    @functools.wraps(test)
    def run(self):
        for name, extensions in BOTH.items():
            with self.subTest(name):
                test(self, functools.partial(self.sink, extensions=extensions))
    return run


class Both(Measured):
    def begin(self, p, **options):
        c = self.ready_client(p, **options)
        c.envelope()
        return c

    def chunk(self, c, payload, last=False):
        c.send(b"BDAT %d%b\r\n%b" % (len(payload), b" LAST" if last else b"", payload))
        return c.reply()


class Chunks(Both):
    @with_both
    def test_bd01_bd06_bd07_wherever_chunks_are_cut(self, server):
        chance = random.Random(6)
        sink = server()
        c = self.ready_client(self.postern(sink))
        ends = b"" if "CHUNKING" in sink.options.extensions else b"\r\n"
        unfinished = {content: content + ends for content in (b"no end of line", b"x\r\n.")}
        for content, kept in {NASTY: NASTY, **unfinished}.items():
            for _ in range(15):
                c.envelope()
                cuts = sorted(chance.randrange(len(content) + 1) for _ in range(chance.randint(0, 6)))
                pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)])]
                codes = [self.chunk(c, piece, i == len(pieces) - 1).code for i, piece in enumerate(pieces)]
                self.assertEqual(set(codes), {250})
                self.assertEqual(sink.messages()[-1].content, kept, cuts)

    @with_both
    def test_bd03_chunks_of_nothing_are_junk(self, server):
        sink = server()
        c = self.begin(self.postern(sink))
        codes = []
        while len(codes) < 1000 and 421 not in codes:
            codes.append(self.chunk(c, b"").code)
        self.assertLessEqual(len(codes), 121)
        self.assertEqual(codes[-1], 421)
        self.assertTrue(c.at_eof())
        self.assertEqual(sink.messages(), [])

    @with_both
    def test_bd12_very_many_chunks_cost_no_memory(self, server):
        sink = server()
        p = self.gate(sink)
        worker, = p.workers()
        c = self.begin(p, timeout=60)
        self.assertEqual(self.chunk(c, b"x").code, 250)
        before = private_memory(worker)
        for _ in range(20):
            c.send(b"BDAT 1\r\nx" * 1000)
            self.assertEqual({c.reply().code for _ in range(1000)}, {250})
        self.assertLess(private_memory(worker) - before, (4 if SANITIZED else 1) * MIB)
        self.assertEqual(self.chunk(c, b"\r\n", True).code, 250)
        self.assertEqual(self.only_message(sink).content, b"x" * 20001 + b"\r\n")

    @with_both
    def test_bd13_bd14_commands_between_chunks(self, server):
        sink = server()
        p = self.postern(sink, certificates=certificate_settings(c=certificates().good), limits={"hold": 0},
                         listeners={"main": listener(tls="starttls", certificate="c")})
        for command, code in BETWEEN.items():
            aborts = code == 250 and command != "NOOP"
            with self.subTest(command):
                before = len(sink.messages())
                c = self.begin(p)
                self.assertEqual(self.chunk(c, b"half\r\n").code, 250)
                c.say(command, code)
                self.assertEqual(self.chunk(c, b"half\r\n", True).code, 503 if aborts else 250)
                if aborts:
                    self.assertEqual(c.message().code, 250)
                kept = [m.content for m in sink.messages()[before:]]
                self.assertEqual(kept, [CONTENT.encode() if aborts else b"half\r\nhalf\r\n"])
        before = len(sink.messages())
        c = self.begin(p)
        self.chunk(c, b"half\r\n")
        c.quit()
        self.assertTrue(c.at_eof())
        self.assertEqual(len(sink.messages()), before)

    @with_both
    def test_bd18_a_size_beyond_the_limit(self, server):
        sink = server()
        p = self.postern(sink, limits={"message": "64KiB"})
        c = self.begin(p)
        self.assertEqual(str(self.chunk(c, LINE * 1000, True))[:9], "552 5.3.4")
        c.say("NOOP", 250)
        self.assertEqual(c.message().code, 250)
        c.envelope()
        self.assertEqual([self.chunk(c, LINE * 400).code, self.chunk(c, LINE * 400, True).code], [250, 552])
        self.assertEqual(c.message().code, 250)
        self.assertEqual(len(sink.messages()), 2)

    @with_both
    def test_bd18_without_end(self, server):
        """Told at the command; of the payload so much is skipped as may be meant well, and no more."""
        sink = server()
        p = self.postern(sink, limits={"message": "64KiB"})
        c = self.begin(p)
        c.send(b"BDAT 1000000000 LAST\r\n")
        self.assertEqual(str(c.reply())[:9], "552 5.3.4")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 64 * MIB:
                c.send(LINE * 100)
                sent += 100 * len(LINE)
        self.assertLess(sent, 16 * MIB)
        self.assertEqual(sink.messages(), [])

    @with_both
    def test_bd19_a_client_that_is_lost_in_a_chunk(self, server):
        sink = server()
        p = self.postern(sink, limits={"hold": 0})
        for count, end in enumerate(("close", "reset"), 1):
            c = self.begin(p)
            c.send(b"BDAT 1000 LAST\r\n" + LINE * 5)
            time.sleep(0.1)
            getattr(c, end)()
            self.assertEqual(p.transactions(count)[-1]["verdict"], "aborted")
        self.assertEqual(self.begin(p).say("NOOP").code, 250)
        self.assertEqual(sink.messages(), [])

    @with_both
    def test_bd20_a_server_that_fails_in_a_chunk_costs_one_reply_each(self, server):
        for hold in ("0", "1MiB"):
            for at in ("BDAT", "DATA", "BODY", "DOT"):
                for how in ({"reply": "452 4.3.1 full"}, {"silent": True, "close": True}):
                    rule = {"at": at, "times": 1, "close": at == "BODY", **how}
                    with self.subTest(hold=hold, rule=rule):
                        self.check_bd20(server(rules=[rule]), hold)

    def check_bd20(self, sink, hold):
        c = self.begin(self.postern(sink, limits={"hold": hold}))
        codes = []
        for last in (False, False, True):
            c.send(b"BDAT 8000%b\r\n" % (b" LAST" if last else b"") + LINE * 40)
            time.sleep(0.05)
            c.send(LINE * 40)
            codes.append(c.reply().code)
        c.say("NOOP", 250)
        before = len(sink.messages())
        self.assertEqual(before, codes[-1] == 250, codes)
        self.assertTrue(set(codes) <= {250, 452, 451, 421, 503}, codes)
        self.assertNotIn(codes, ([250, 250, 503],))
        sink.set_rules([])
        self.assertEqual(c.message().code, 250)
        self.assertEqual(len(sink.messages()), before + 1)

    @with_both
    def test_bd21_what_is_missing_is_waited_for_and_then_given_up(self, server):
        sink = server()
        p = self.postern(sink, timeouts={"content": "500ms"})
        c = self.begin(p)
        c.send(b"BDAT 100 LAST\r\n" + b"x" * 60 + b"QUIT\r\n")
        c.expect(421)
        self.assertTrue(c.at_eof())
        self.assertEqual(sink.messages(), [])

    @with_both
    def test_bd22_sums_do_not_wrap(self, server):
        sink = server()
        p = self.postern(sink, limits={"message": "64KiB"})
        for size in (2 ** 63 - 1, 2 ** 63, 2 ** 64 - 10, 2 ** 64 - 1, 2 ** 64, 2 ** 64 + 1, 10 ** 30):
            with self.subTest(size):
                c = self.begin(p)
                self.assertEqual(self.chunk(c, b"0123456789").code, 250)
                c.send(b"BDAT %d LAST\r\n" % size)
                self.assertIn(c.reply().code, (552, 521))
        self.assertEqual(self.ready_client(p).message().code, 250)
        self.assertEqual(len(sink.messages()), 1)

    @with_both
    def test_bd23_line_and_payload_together_or_apart(self, server):
        sink = server()
        c = self.ready_client(self.postern(sink))
        for pause in (None, 0.0, 0.5):
            c.envelope()
            c.send(b"BDAT 9 LAST\r\n" + (b"Hi: a\r\n\r\n" if pause is None else b""))
            if pause is not None:
                time.sleep(pause)
                c.send(b"Hi: a\r\n\r\n")
            c.expect(250)
        self.assertEqual([m.content for m in sink.messages()], [b"Hi: a\r\n\r\n"] * 3)

    @with_both
    def test_bd25_fifty_large_chunks_ahead_of_a_slow_server(self, server):
        sink = server(read_pause=0.01)
        p = self.gate(sink, limits={"hold": "16KiB"})
        worker, = p.workers()
        before = private_memory(worker)
        c = self.begin(p, timeout=60)
        data = b"".join(b"BDAT 200000%b\r\n" % (b" LAST" if i == 49 else b"") + LINE * 2000 for i in range(50))
        sender = threading.Thread(target=c.send, args=(data + b"NOOP\r\n",))
        sender.start()
        most = 0
        while sender.is_alive():
            most = max(most, private_memory(worker))
            time.sleep(0.05)
        self.assertEqual([c.reply().code for _ in range(51)], [250] * 51)
        self.assertEqual(self.only_message(sink).content, LINE * 100000)
        self.assertLess(most - before, (12 if SANITIZED else 4) * MIB)


class Streaming(Both):
    """Content is on its way to the server while it is still judged; only its end is withheld."""

    def gate(self, sink, **more):
        rules = {"r.rules": "[text]\n/forbidden/ REJECT 550 5.7.1 no\n"}
        return super().gate(sink, limits={"hold": "16KiB"}, files=rules,
                            **with_filters("content", content={"plugin": "content", "rules": ["r.rules"]}), **more)

    def started(self, p, sink, **options):
        """A client in mid-content, whose server has already seen some of it."""
        c = self.begin(p, **options)
        c.say("DATA", 354)
        c.send(b"Subject: t\r\n\r\n" + LINE * 2000)
        net.wait_until(lambda: any(k.content_seen for k in sink.conversations), 10, "content at the server")
        return c

    @with_both
    def test_sm28_refused_by_a_filter_while_it_streams(self, server):
        sink = server()
        p = self.gate(sink)
        c = self.started(p, sink)
        c.send(b"forbidden\r\n" + LINE * 100)
        self.assertTrue(c.quiet(0.3), "an answer before the end")
        self.assertEqual(str(c.content(b""))[:9], "550 5.7.1")
        self.assertEqual(p.transactions()[-1]["verdict"], "rejected")
        self.assertEqual(c.message().code, 250)
        self.assertEqual([m.content for m in sink.messages()], [CONTENT.encode()])

    @with_both
    def test_sm26_the_server_refuses_while_it_streams(self, server):
        sink = server()
        p = self.gate(sink)
        at = "BDAT" if "CHUNKING" in sink.options.extensions else "BODY"
        sink.set_rules([{"at": at, "after": 10000, "reply": "451 4.3.0 disk full", "times": 1}])
        c = self.begin(p)
        c.say("DATA", 354)
        c.send(LINE * 4000)
        self.assertTrue(c.quiet(0.3), "an answer before the end")
        self.assertEqual(str(c.content(b"")), "451 4.3.0 disk full")
        self.assertEqual(c.message().code, 250)
        self.assertEqual([m.content for m in sink.messages()], [CONTENT.encode()])

    @with_both
    def test_sm29_ft09_whoever_ends_it_no_end_reaches_the_server(self, server):
        sink = server()
        p = self.gate(sink, timeouts={"drain": "500ms"})
        start = time.monotonic()
        self.started(p, sink).reset()
        net.wait_until(lambda: any(k.aborted and not k.open for k in sink.conversations) or "RSET" in sink.commands(),
                       5, "the transaction at the server to be taken back")
        self.assertLess(time.monotonic() - start, 4)
        c = self.started(p, sink)
        p.stop()
        with contextlib.suppress(Closed, ConnectionError):
            self.assertEqual(c.reply().code, 421)
        self.assertEqual(sink.messages(), [])

    @with_both
    def test_bare_newlines_while_it_streams(self, server):
        sink = server()
        c = self.started(self.gate(sink), sink)
        c.send(b"one\n.\r\nMAIL FROM:<evil@x.test>\r\n")
        self.assertTrue(c.quiet(0.2))
        self.assertEqual(str(c.content(b""))[:9], "550 5.5.2")
        self.assertEqual(c.message().code, 250)
        self.assertEqual(len(sink.messages()), 1)


class Smuggling(Case):
    def test_sm32_a_signed_part_with_a_stray_cr_is_refused_as_it_is(self):
        sink = self.sink()
        p = self.postern(sink)
        c = self.ready_client(p)
        signed = (b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=x.test; s=s; h=subject;\r\n"
                  b" bh=aGVsbG8=; b=aGVsbG8=\r\nSubject: t\r\n\r\nsigned%btext\r\n")
        for between, code in ((b" ", 250), (b"\r", 550), (b"\n", 550)):
            self.assertEqual(c.message(content=signed % between).code, code)
        self.assertEqual(self.only_message(sink).content, signed % b" ")

    def test_sm37_users_are_no_more_trusted_than_strangers(self):
        sink = self.sink(users={"u": "p"}, require_auth=True)
        p = self.postern(sink, limits={"errors": 1000}, listeners={"main": listener(auth_needs_tls=False)})
        c = self.ready_client(p)
        self.assertEqual(c.login("u", "p").code, 235)
        for name, sequence in {**BARE, **NULS}.items():
            with self.subTest(name):
                c.envelope()
                c.say("DATA", 354)
                c.send(HEAD + sequence + TAIL)
                c.expect(550)
                c.say("NOOP", 250)
        self.assertEqual(c.message().code, 250)
        self.assertEqual([m.sender for m in sink.messages()], ["a@x.test"])

    def test_sm39_the_log_names_rule_and_client_and_shows_no_octet(self):
        p = self.postern(self.sink(), limits={"errors": 1000})
        for count, (name, sequence) in enumerate({**BARE, **NULS}.items(), 1):
            with self.subTest(name):
                c = self.ready_client(p)
                c.envelope()
                c.say("DATA", 354)
                c.send(b"Subject: secret-octets" + sequence + TAIL)
                c.expect(550)
                line = p.transactions(count)[-1]
                self.assertEqual(line["verdict"], "rejected")
                self.assertTrue(line["client"].startswith("127.0.0.1"))
                self.assertRegex(line["reply"], "NUL" if name in NULS else "Bare CR or LF")
        self.assertNotIn("secret-octets", p.log())
        self.assertNotIn("pwned", p.log())


if __name__ == "__main__":
    unittest.main()
