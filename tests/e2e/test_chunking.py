# SPDX-License-Identifier: MIT
"""CHUNKING on both legs, streaming, LMTP: the daemon, a server with and without BDAT, bodies of every size."""
import hashlib
import random
import threading
import time

from tests.support import net
from tests.support.case import Case, with_filters
from tests.support.client import stuffed
from tests.support.daemon import Postern, config, environment
from tests.support.sink import CHUNKING, EXTENSIONS

KIB, MIB = 1024, 1024 * 1024


def body(size, seed=1):
    """CRLF lines, some beginning with dots; the last one is ended."""
    r = random.Random(seed)
    out = bytearray(b"Subject: t\r\n\r\n")
    while len(out) < size - 80:
        out += (b"." * r.choice((0, 0, 0, 1, 2))) + b"x" * r.randrange(70) + b"\r\n"
    return bytes(out + b"y" * (size - len(out) - 2) + b"\r\n")


def chunks(content, sizes, last=True):
    """The wire form of BDAT commands that together hold the content."""
    out, at, i = [], 0, 0
    while at < len(content):
        n = min(sizes[i % len(sizes)], len(content) - at)
        end = b" LAST" if last and at + n == len(content) else b""
        out.append(b"BDAT %d%s\r\n" % (n, end) + content[at:at + n])
        at, i = at + n, i + 1
    return out


class Chunking(Case):
    def gate(self, extensions, **settings):
        sink = self.sink(extensions=extensions)
        return sink, self.postern(sink, **settings)

    def test_all_four_ways_carry_the_same_octets(self):
        for extensions in (EXTENSIONS, CHUNKING):
            sink, p = self.gate(extensions)
            c = self.ready_client(p)
            for size in (200, 4 * KIB, 64 * KIB, 256 * KIB, 257 * KIB, 3 * MIB):
                content = body(size, size)
                with self.subTest(server=len(extensions), size=size, way="DATA"):
                    c.envelope()
                    c.say("DATA", 354)
                    self.assertEqual(c.content(stuffed(content)).code, 250)
                    self.assertEqual(sink.messages()[-1].content, content)
                for sizes in ((len(content),), (1000, 1, 77777), (65536,)):
                    with self.subTest(server=len(extensions), size=size, way=sizes):
                        c.envelope()
                        all_of_them = chunks(content, sizes)
                        c.send(b"".join(all_of_them))
                        self.assertEqual([c.reply().code for _ in all_of_them], [250] * len(all_of_them))
                        self.assertEqual(sink.messages()[-1].content, content)
            self.assertEqual(sink.violations(), [])

    def test_binary_content_passes_as_it_is(self):
        sink, p = self.gate(CHUNKING)
        c = self.ready_client(p)
        content = bytes(range(256)) * 3000 + b"\r\n.\r\n\n.\n"
        c.say("MAIL FROM:<a@x.test> BODY=BINARYMIME", 250)
        c.say("RCPT TO:<b@y.test>", 250)
        c.send(b"BDAT %d LAST\r\n" % len(content) + content)
        self.assertEqual(c.reply().code, 250)
        self.assertEqual(sink.messages()[-1].content, content)

    def test_too_big_chunks(self):
        sink, p = self.gate(CHUNKING, limits={"message": "1MiB"})
        c = self.ready_client(p)
        c.envelope()
        c.send(b"BDAT %d LAST\r\n" % (MIB + 1) + b"x" * (MIB + 1))
        self.assertEqual(c.reply().code, 552)
        c.say("NOOP", 250)
        c.envelope()
        c.send(b"BDAT %d\r\n" % (MIB - 10) + b"x" * (MIB - 10))
        self.assertEqual(c.reply().code, 250)
        c.send(b"BDAT 11 LAST\r\nxxxxxxxxxxx")
        self.assertEqual(c.reply().code, 552)
        c.send(b"BDAT 3 LAST\r\nxxx")
        self.assertEqual(c.reply().code, 503)
        c.envelope()
        c.send(b"BDAT %d LAST\r\n" % (1 << 40))
        self.assertEqual(c.reply().code, 552)
        with self.assertRaises(OSError):  # BD-18: what nobody wants is not read for ever
            for _ in range(200):
                c.send(b"x" * MIB)
        self.assertEqual(sink.messages(), [])

    def test_a_server_that_lost_chunking_since_ehlo(self):
        """The offer is what the server said last; what needs more than the one that is got has is refused."""
        sink, p = self.gate(CHUNKING, upstreams={"mta": {"keep": 0}})
        c = self.ready_client(p)
        sink.options.extensions = EXTENSIONS
        c.say("MAIL FROM:<a@x.test>", 250)
        c.say("RCPT TO:<b@y.test>", 250)
        c.send(b"BDAT 9 LAST\r\nHi: a\r\n\r\n")
        self.assertEqual(c.reply().code, 250)
        self.assertEqual(sink.messages()[-1].content, b"Hi: a\r\n\r\n")

    def test_chunking_off(self):
        sink, p = self.gate(CHUNKING, upstreams={"mta": {"chunking": "no"}}, listeners={"main": {"chunking": False}})
        c = self.client(p)
        offered = set(c.hello())
        self.assertFalse({"CHUNKING", "BINARYMIME"} & offered)
        self.assertEqual(c.message().code, 250)
        self.assertFalse([line for line in sink.commands() if line.startswith("BDAT")])


class Streaming(Case):
    def test_memory_does_not_grow_with_the_message(self):
        """A slow server, 64 MiB from a fast client: what the worker holds stays where it is with 1 MiB."""
        for extensions in (EXTENSIONS, CHUNKING):
            with self.subTest(chunking=extensions == CHUNKING):
                sink = self.sink(extensions=extensions)
                p = self.lean_postern(sink, workers=1, limits={"message": "100MiB", "bodies_disk": "0"})
                c = self.ready_client(p)
                peaks = []
                for size in (MIB, 64 * MIB):
                    c.envelope()
                    c.say("DATA", 354)
                    block = (b"z" * 70 + b"\r\n") * 1000
                    for _ in range(size // len(block)):
                        c.send(block)
                    c.send(b".\r\n")
                    self.assertEqual(c.reply().code, 250)
                    peaks.append(max(self.peak_kib(w) for w in p.workers()))
                self.assertLess(peaks[1] - peaks[0], 4 * KIB, peaks)

    def lean_postern(self, sink, **settings):
        """Also a build with the sanitizers gives back what was freed."""
        p = Postern(self.fresh("postern"), config(sink.port, **settings))
        p.environment = {"ASAN_OPTIONS": environment()["ASAN_OPTIONS"] + ":quarantine_size_mb=1"}
        return self.stack.enter_context(p)

    def peak_kib(self, pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            return int(next(line for line in f if line.startswith("VmHWM")).split()[1])

    def test_a_server_that_stops_reading_stops_the_client(self):
        """FT-10: nothing piles up, and all goes on when the server does."""
        sink = self.sink(rules=[{"at": "BODY", "after": 100 * KIB, "times": 1, "silent": True, "delay": 3}])
        p = self.postern(sink)
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        content = body(24 * MIB)
        wire = stuffed(content) + b".\r\n"
        began = time.monotonic()
        threading.Thread(target=c.send, args=(wire,), daemon=True).start()
        self.assertEqual(c.reply().code, 250)
        self.assertGreater(time.monotonic() - began, 2)
        self.assertEqual(hashlib.sha256(sink.messages()[-1].content).digest(), hashlib.sha256(content).digest())

    def test_a_filter_refuses_at_the_end(self):
        """SM-28: with DATA the server sees the connection go without a dot, with BDAT a RSET; the client hears why."""
        for extensions in (EXTENSIONS, CHUNKING):
            with self.subTest(chunking=extensions == CHUNKING):
                sink = self.sink(extensions=extensions)
                p = self.postern(sink, files={"rules/test.rules": "[text]\n/streamed spam/  REJECT 5.7.1 not here\n"},
                                 **with_filters("content", content={"plugin": "content", "rules": ["rules/*.rules"]}))
                c = self.ready_client(p)
                c.envelope()
                c.say("DATA", 354)
                reply = c.content(stuffed(body(2 * MIB)) + b"streamed spam\r\n")
                self.assertEqual(reply.code, 550)
                self.assertEqual(sink.messages(), [])
                self.assertEqual(c.message().code, 250)
                refused = [t for t in list(sink.conversations) if t.aborted or "RSET" in t.commands]
                self.assertTrue(refused)

    def test_a_client_that_leaves(self):
        for extensions in (EXTENSIONS, CHUNKING):
            with self.subTest(chunking=extensions == CHUNKING):
                sink = self.sink(extensions=extensions)
                p = self.postern(sink)
                c = self.ready_client(p)
                c.envelope()
                c.say("DATA", 354)
                c.send(stuffed(body(MIB)))
                net.wait_until(lambda: any(t.content_seen or "BDAT" in " ".join(t.commands)
                                           for t in list(sink.conversations)), 10, "content at the server")
                c.reset()
                p.wait_log("verdict=aborted")
                self.assertEqual(sink.messages(), [])


class Lmtp(Case):
    def gate(self, **settings):
        sink = self.sink(lmtp=True, **settings)
        return sink, self.ready_client(self.postern(sink, upstreams={"mta": {"protocol": "lmtp"}}))

    def test_all_recipients(self):
        sink, c = self.gate()
        self.assertEqual(c.message(recipients=("b@y.test", "c@y.test")).code, 250)
        self.assertEqual(sink.messages()[-1].recipients, ["b@y.test", "c@y.test"])
        self.assertIn("LHLO", " ".join(sink.commands()))

    def test_some_recipients(self):
        for bad, code in (("data452@y.test", 452), ("data552@y.test", 552)):
            with self.subTest(bad):
                sink, c = self.gate()
                reply = c.message(recipients=("b@y.test", bad))
                self.assertEqual(reply.code, code)
                self.assertIn(f"<{bad}>: {code}", str(reply))
                self.assertEqual(sink.messages()[-1].recipients, ["b@y.test"])
                self.assertEqual(c.message(recipients=("b@y.test",)).code, 250)

    def test_a_server_that_speaks_smtp(self):
        p = self.postern(self.sink(), upstreams={"mta": {"protocol": "lmtp"}})
        self.assertEqual(self.client(p).reply().code, 421)
