# SPDX-License-Identifier: MIT
"""Cases of upstream replies (UR) that other tests leave open; tests/cases.md says which test is for which case."""
import contextlib
import socket
import threading
import time
import unittest

from tests.support import net
from tests.support.case import Case
from tests.support.client import dialogue

ENVELOPE = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n"
OFFER = b"250-raw.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"


class Raw:
    """A server whose sockets are the test's own: `script` gets each connection that sends MAIL, with that line.

    What comes before MAIL is answered here, as a usual server would.
    """

    def __init__(self, case, script):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.script = script
        self.ended = threading.Event()  # one connection of the script is over
        case.addCleanup(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, sock):
        sock.settimeout(20)
        with sock, sock.makefile("rb") as lines, contextlib.suppress(OSError):
            sock.sendall(b"220 raw.test ESMTP\r\n")
            for line in lines:
                if line.startswith(b"MAIL"):
                    self.script(sock, lines)
                    self.ended.set()
                    return
                sock.sendall(OFFER if line.startswith(b"EHLO") else b"250 ok\r\n")


def commands(lines, count):
    return [lines.readline() for _ in range(count)]


class Sockets(Case):
    """Servers that do with their sockets what no usual server does."""

    def gate(self, script, **more):
        self.server = Raw(self, script)
        return self.postern(self.server.port, **more)

    def test_ur17_a_server_that_only_half_closes_is_gone(self):
        closed = threading.Event()

        def script(sock, lines):
            commands(lines, 1)
            sock.sendall(b"250 m\r\n250 r\r\n")
            sock.shutdown(socket.SHUT_WR)
            if lines.readline() == b"":
                closed.set()

        c = self.ready_client(self.gate(script))
        c.send(ENVELOPE)
        self.assertEqual([c.reply().code, c.reply().code], [250, 250])
        self.assertTrue(closed.wait(10), "the connection is kept open")
        c.say("DATA")
        self.assertIn(c.reply().code if c.buffer else 421, (421, 451))

    def many(self, send):
        codes = [(250, 550, 451)[i % 3] for i in range(50)]
        answers = b"250 m\r\n" + b"".join(b"%d-%d\r\n%d r%d\r\n" % (code, i, code, i) for i, code in enumerate(codes))

        def script(sock, lines):
            commands(lines, 50)
            send(sock, answers)
            lines.readline()

        c = self.ready_client(self.gate(script))
        c.send("MAIL FROM:<a@x.test>\r\n" + "".join(f"RCPT TO:<r{i}@y.test>\r\n" for i in range(50)))
        c.expect(250)
        for i, code in enumerate(codes):
            reply = c.reply()
            self.assertEqual((reply.code, reply.lines), (code, [str(i), f"r{i}"]))

    def test_ur18_fifty_replies_in_one_segment(self):
        self.many(lambda sock, answers: sock.sendall(answers))

    def test_ur18_fifty_replies_byte_by_byte(self):
        def trickle(sock, answers):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(answers)):
                sock.sendall(answers[i:i + 1])
        self.many(trickle)

    def flood(self, sock, seconds=20):
        """Replies without end to a peer that is not read from; returns when that peer has closed."""
        sock.settimeout(0.05)
        end = time.monotonic() + seconds
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    sock.sendall(b"250 flood\r\n" * 1000)

    def test_ur25_a_server_that_talks_and_does_not_read(self):
        """Neither leg waits for the other: the content is refused, and others are served meanwhile."""
        def script(sock, lines):
            commands(lines, 1)
            sock.sendall(b"250 m\r\n250 r\r\n")
            commands(lines, 1)
            sock.sendall(b"354 go\r\n")
            sock.recv(1)  # the content has begun; from here on nothing is read
            self.flood(sock)

        p = self.gate(script)
        c = self.ready_client(p, timeout=30)
        c.send(ENVELOPE)
        self.assertEqual([c.reply().code, c.reply().code], [250, 250])
        c.say("DATA", 354)
        start = time.monotonic()
        self.assertEqual(c.content(("x" * 70 + "\r\n") * 200000).code, 451)
        with self.client(p) as canary:
            canary.hello()
        self.assertTrue(self.server.ended.wait(10), "the flooding connection is still open")
        self.assertLess(time.monotonic() - start, 20)


class Replies(Case):
    strict_sink = False

    def test_ur11_greetings_where_each_client_has_its_own_connection(self):
        rules = ({"reply": "554 5.7.1 no", "close": True}, {"reply": "421 4.3.2 busy", "close": True},
                 {"silent": True, "close": True}, {"silent": True, "reset": True}, {"close": True}, {"stall": True},
                 {"raw": "HTTP/1.1 400 Bad Request\r\n\r\n", "close": True}, {"raw": "\x15\x03\x01\x00\x02\x02\x46"},
                 {"raw": "22", "close": True}, {"reply": "354 go"}, {"raw": "220-a\r\n554 b\r\n"})
        sink = self.sink()
        p = self.postern(sink, timeouts={"upstream_greeting": "500ms", "upstream_command": "500ms"},
                         upstreams={"mta": {"connect": "eager"}})
        for rule in rules:
            with self.subTest(rule):
                sink.set_rules([{"at": "CONNECT", **rule}])
                c = self.client(p)
                self.assertIn(c.reply().code, (421, 554))
                self.assertTrue(c.at_eof())
        sink.set_rules([{"at": "CONNECT", "reply": "220 a\nb"}])
        self.assertEqual(self.ready_client(p).message().code, 250)

    def test_ur14_421_after_the_dot_closes_both_legs(self):
        sink = self.sink(rules=[{"at": "DOT", "reply": "421 4.3.2 going down"}])
        c = self.ready_client(self.postern(sink))
        self.assertEqual(str(c.message()), "421 4.3.2 going down")
        self.assertTrue(c.at_eof())
        net.wait_until(lambda: not any(k.open for k in sink.conversations), 5, "the server's connection to close")
        self.assertEqual(sink.messages(), [])

    def test_ur20_what_a_server_offers_counts_for_a_session_not_for_ever(self):
        sink = self.sink()
        p = self.postern(sink, upstreams={"mta": {"keep": 0}})
        c = self.ready_client(p)
        self.assertEqual(c.message().code, 250)
        sink.options.extensions = ("SIZE", "8BITMIME")
        old = self.ready_client(p)
        self.assertEqual(old.say("MAIL FROM:<a@x.test> RET=HDRS").code, 451)
        self.assertFalse({"DSN", "SMTPUTF8"} & set(self.client(p).hello()))
        sink.options.extensions = ("SIZE", "8BITMIME", "DSN")
        self.assertEqual(old.message().code, 250)
        self.assertIn("DSN", self.client(p).hello())
        self.assertEqual(sink.violations(), [])

    def test_ur21_status_codes_that_are_none_are_text(self):
        sink = self.sink()
        p = self.postern(sink)
        for text in ("550 9.999.9999 absurd", "550 5.", "550 5.1", "250 5.1.1 contrary", "550 5.1.1", "451 4..1 x"):
            with self.subTest(text):
                sink.set_rules([{"at": "RCPT", "reply": text}])
                c = self.ready_client(p)
                c.say("MAIL FROM:<a@x.test>", 250)
                self.assertEqual(c.say("RCPT TO:<b@y.test>").raw, text.encode() + b"\r\n")

    def test_ur22_to_ur24_no_identity_is_passed_on_unasked(self):
        sink = self.sink()
        p = self.postern(sink)
        c = self.client(p)
        c.expect(220)
        c.say("EHLO evil name=x", 501)
        c.ehlo("+0D+0AXCLIENT")
        self.assertEqual(c.message().code, 250)
        self.assertFalse(any(line.startswith(("XCLIENT", "XFORWARD", "PROXY")) for line in sink.commands()))

    def test_ur26_nobody_waits_for_the_answer_to_quit(self):
        sink = self.sink(rules=[{"at": "QUIT", "stall": True}])
        p = self.postern(sink, upstreams={"mta": {"keep": 0}})
        c = self.ready_client(p)
        self.assertEqual(c.message().code, 250)
        start = time.monotonic()
        c.quit()
        self.assertTrue(c.at_eof())
        net.wait_until(lambda: not any(k.open for k in sink.conversations), 5, "the server's connection to close")
        self.assertLess(time.monotonic() - start, 3)
        self.assertIn("QUIT", sink.commands())

    def test_ur15_a_connection_that_was_lost_is_not_used_again(self):
        sink = self.sink()
        p = self.postern(sink)
        for at in ("MAIL", "RCPT", "DATA", "DOT"):
            for how in ({"silent": True, "close": True}, {"raw": "25", "close": True},
                        {"raw": "250-abc\r\n", "reset": True}):
                with self.subTest(at=at, how=how):
                    sink.set_rules([{"at": at, **how}])
                    start = time.monotonic()
                    step, code = dialogue(self.client(p))[-1]
                    self.assertIn(code, (421, 451), step)
                    self.assertLess(time.monotonic() - start, 5)
                    sink.set_rules([])
                    net.wait_until(lambda: dialogue(self.client(p))[-1] == ("DOT", 250), 10, "service", 0.1)


if __name__ == "__main__":
    unittest.main()
