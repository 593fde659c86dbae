# SPDX-License-Identifier: MIT
"""Cases of exhaustion (RE) that other tests leave open; tests/cases.md says which test is for which case.

What the catalogue does with thousands of clients or for hours is done here in some seconds: the limits are set lower,
or what is measured is the slope.
"""
import ctypes
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

from tests.e2e.test_processes import connect_until_closed, descriptors
from tests.e2e.test_shortage import allow_descriptors, no_more_descriptors
from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener, with_filters
from tests.support.client import CONTENT, Smtp
from tests.support.daemon import BUILD, Postern, config, environment

KIB, MIB = 1024, 1024 * 1024
KEPT = 8  # connections to the upstream, which come and go
LINE = b"x" * 98 + b"\r\n"
ENVELOPE = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n"
CLONE_NEWNS, MS_REMOUNT, MS_REC, MS_PRIVATE, MS_RDONLY = 0x20000, 32, 0x4000, 1 << 18, 1
SANITIZED = "POSTERN_SANITIZE:BOOL=ON" in (BUILD / "CMakeCache.txt").read_text()


def private_memory(pid):
    """Octets of a process that are its own and in memory."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * KIB
    raise AssertionError(f"no RssAnon of {pid}")


class Measured(Case):
    def gate(self, upstream, files=None, **more):
        """A daemon whose memory says something also in a build with the sanitizers, which keep what was freed."""
        p = Postern(self.fresh("postern"), config(getattr(upstream, "port", upstream), **more), files)
        p.environment = {"ASAN_OPTIONS": environment()["ASAN_OPTIONS"] + ":quarantine_size_mb=1"}
        return self.stack.enter_context(p)

    def check_slope(self, p, one_round, rounds=4, allowed=(4 if SANITIZED else 1) * MIB):
        """After two rounds to warm up, more of them neither cost memory nor descriptors."""
        worker, = p.workers()
        one_round()
        one_round()
        files, memory = self.settled(worker), private_memory(worker)
        for _ in range(rounds):
            one_round()
        self.assertLessEqual(self.settled(worker), files + KEPT)
        self.assertLess(private_memory(worker) - memory, allowed)
        self.assertEqual(p.workers(), [worker])

    def settled(self, pid):
        """Descriptors, when those of clients that left are closed too."""
        seen = []

        def same():
            seen.append(descriptors(pid))
            return len(seen) > 5 and len(set(seen[-5:])) == 1
        net.wait_until(same, 10, "the descriptors to settle", 0.1)
        return seen[-1]


class Descriptors(Measured):
    def test_re02_no_descriptor_for_the_upstream_costs_that_client_its_mail_only(self):
        sink = self.sink()
        p = self.postern(sink, upstreams={"mta": {"keep": 0}}, log={"to": str(self.folder / "log")})
        other, one = self.ready_client(p), self.ready_client(p)
        other.envelope()
        worker, = p.workers()
        before = no_more_descriptors(worker)
        self.assertEqual(str(one.say("MAIL FROM:<a@x.test>"))[:9], "421 4.3.2")
        self.assertTrue(one.at_eof())
        other.say("DATA", 354)
        self.assertEqual(other.content(CONTENT).code, 250)
        allow_descriptors(worker, before)
        net.wait_until(lambda: self.client(p).reply().code == 220, 10, "the upstream to be up again", 0.2)
        self.assertEqual(self.ready_client(p).message().code, 250)
        self.assertEqual(p.workers(), [worker])

    def test_re03_sessions_are_no_more_than_there_are_descriptors_for(self):
        """Each may need three: its client's, its server's, a file for its body. Those beyond hear 421."""
        sink = self.sink()
        p = Postern(self.fresh("postern"), config(sink.port, limits={"body_memory": "1KiB"}))
        command = ["prlimit", "--nofile=100:100", str(BUILD / "postern"), "-c", str(p.file)]
        p.process = self.started(command, p)
        p.wait_log("limit of 100 open files")
        clients = [self.client(p) for _ in range(80)]
        greeted = [c for c in clients if c.reply().code == 220]
        self.assertTrue(10 <= len(greeted) <= 33, len(greeted))
        for c in greeted:
            c.ehlo()
            c.envelope()
            c.say("DATA", 354)
            c.send(LINE * 100)
        for c in greeted:
            c.send(b".\r\n")
            c.expect(250)
        self.assertEqual(len(sink.messages()), len(greeted))
        p.stop()

    def started(self, command, p):
        with open(p.log_file, "ab") as out:
            process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.addCleanup(net.end_process, process)
        p.process = process
        p.wait_log("postern: ready", 30)
        return process

    def test_re03_too_few_descriptors_for_anybody_are_refused_at_the_start(self):
        p = Postern(self.fresh("postern"), config(self.sink().port))
        done = subprocess.run(["prlimit", "--nofile=20:20", str(BUILD / "postern"), "-c", str(p.file)], timeout=30,
                              capture_output=True, text=True, env=environment(), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("limit of 20 open files", done.stderr)
        self.assertNotIn("postern: ready", done.stderr)

    def test_re09_clients_that_leave_with_rst_at_once(self):
        p = self.gate(self.sink())
        self.check_slope(p, lambda: [Smtp(p.port).reset() for _ in range(200)])
        self.assertEqual(self.ready_client(p).message().code, 250)

    def test_re21_a_burst_while_the_loop_is_busy_waits_and_is_served(self):
        p = self.postern(self.sink())
        worker, = p.workers()
        os.kill(worker, signal.SIGSTOP)
        clients = [self.client(p) for _ in range(300)]
        os.kill(worker, signal.SIGCONT)
        self.assertEqual({c.reply().code for c in clients}, {220})


class Patience(Measured):
    def test_re04_idle_clients_are_greeted_cheap_and_closed_in_time(self):
        p = self.postern(self.sink(), timeouts={"command": "4s"})
        worker, = p.workers()
        self.ready_client(p).quit()
        before = private_memory(worker)
        clients = [self.client(p) for _ in range(1000)]
        self.assertEqual({c.reply().code for c in clients}, {220})
        each = (private_memory(worker) - before) / len(clients)
        self.assertLess(each, (16 if SANITIZED else 4) * KIB)
        self.assertEqual({tuple(connect_until_closed(c)) for c in clients}, {(421,)})

    def check_dripping(self, c, data, limit):
        """An octet now and then does not prolong what the whole line, or message, may take."""
        start = time.monotonic()
        while time.monotonic() - start < 4 * limit and not select.select([c.socket], [], [], 0.05)[0]:
            c.send(data)
        self.assertEqual(c.reply().code, 421)
        self.assertTrue(c.at_eof())
        self.assertLess(time.monotonic() - start, 3 * limit)

    def test_re05_a_command_has_a_deadline_not_each_of_its_octets(self):
        p = self.postern(self.sink(), timeouts={"command": "1s"})
        for before in ((), ("EHLO me",), ("EHLO me", "MAIL FROM:<a@x.test>")):
            with self.subTest(before):
                c = self.client(p)
                c.expect(220)
                for command in before:
                    c.say(command, 250)
                self.check_dripping(c, b"x", 1)

    def test_re07_a_client_that_reads_nothing_is_bounded_and_closed(self):
        """Its replies fill a buffer; then it is not read from any more; then its time is over."""
        p = self.gate(self.sink(), timeouts={"command": "1s"}, limits={"errors": 1000000, "recipients": 1000000})
        worker, = p.workers()
        c = self.ready_client(p)
        before = private_memory(worker)
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.socket.settimeout(0.2)
        sent = self.push(c.socket, b"RCPT TO:<b@y.test>\r\n" * 1000, 64 * MIB)
        self.assertLess(sent, 64 * MIB, "it was read from without end")
        self.assertLess(private_memory(worker) - before, 8 * MIB)
        p.wait_log("limit=client_timeouts", 20)
        self.assertEqual(self.ready_client(p).message().code, 250)

    def push(self, s, data, most):
        """Octets until the other side does not take more for a while."""
        sent = 0
        try:
            while sent < most:
                sent += s.send(data)
        except (TimeoutError, ConnectionError):
            pass
        return sent

    def test_re20_who_floods_does_not_starve_others(self):
        p = self.postern(self.sink(), certificates=certificate_settings(c=certificates().good),
                         limits={"junk_commands": 1000000, "errors": 1000000},
                         listeners={"main": listener(tls="implicit", certificate="c", enforce_sync=False),
                                    "other": listener()})
        stop = threading.Event()
        flooders = [self.client(p, "main", tls=True) for _ in range(2)]
        threads = []
        for c, flood in zip(flooders, (b"NOOP\r\n", b"EHLO flood\r\n")):
            c.hello()
            threads += [threading.Thread(target=self.send_until, args=(c, flood * 2000, stop), daemon=True),
                        threading.Thread(target=self.read_until, args=(c, stop), daemon=True)]
        for t in threads:
            t.start()
        times = []
        for _ in range(10):
            start = time.monotonic()
            with self.client(p, "other") as canary:
                canary.hello()
                self.assertEqual(canary.message().code, 250)
            times.append(time.monotonic() - start)
        stop.set()
        for c in flooders:
            c.close()
        self.assertLess(max(times), 10)  # who is starved waits until the flood is over

    def send_until(self, c, data, stop):
        try:
            while not stop.is_set():
                c.send(data)
        except (OSError, ValueError):
            pass

    def read_until(self, c, stop):
        try:
            while not stop.is_set() and c.socket.recv(65536):
                pass
        except (OSError, ValueError):
            pass


class Sizes(Case):
    def send(self, c, octets):
        """A message of exactly so many octets on the wire, its end not counted."""
        c.envelope()
        c.say("DATA", 354)
        whole, rest = divmod(octets, 100)
        return c.content(LINE * (whole - 1) + b"y" * (98 + rest) + b"\r\n")

    def test_re10_to_the_octet(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink, limits={"message": "64KiB"}))
        for octets, code in ((65535, 250), (65536, 250), (65537, 552), (100000, 552)):
            with self.subTest(octets):
                reply = self.send(c, octets)
                self.assertEqual(reply.code, code)
                if code == 552:
                    self.assertIn("5.3.4", reply.text)
        self.assertEqual([len(m.content) for m in sink.messages()], [65535, 65536])

    def test_re10_what_was_stuffed_counts_as_it_came(self):
        c = self.ready_client(self.postern(self.sink(), limits={"message": "1KiB"}))
        for content, code in ((b"..\r\n" * 256, 250), (b"..\r\n" * 256 + b"\r\n", 552)):
            c.envelope()
            c.say("DATA", 354)
            self.assertEqual(c.content(content).code, code)

    def test_re10_without_end(self):
        """It is read for a while, so that it may end, and then no more."""
        sink = self.sink()
        p = self.postern(sink, limits={"message": "64KiB"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        sent = 0
        try:
            while sent < 64 * MIB:
                c.send(LINE * 100)
                sent += len(LINE) * 100
        except ConnectionError:
            pass
        self.assertLess(sent, 16 * MIB)
        self.assertEqual(p.transactions()[-1]["code"], "552")
        self.assertEqual(self.ready_client(p).message().code, 250)
        self.assertEqual(len(sink.messages()), 1)

    def test_re11_many_large_messages_at_once_share_what_there_is(self):
        sink = self.sink()
        p = self.postern(sink, limits={"body_memory": "64KiB", "bodies_memory": "256KiB", "bodies_disk": "4MiB"})
        worker, = p.workers()
        before = private_memory(worker)
        clients = [self.ready_client(p) for _ in range(40)]
        for c in clients:
            c.envelope()
            c.say("DATA", 354)
        for _ in range(30):
            for c in clients:
                c.send(LINE * 100)
        self.assertLess(private_memory(worker) - before, (64 if SANITIZED else 8) * MIB)
        codes = []
        for c in clients:
            c.send(b".\r\n")
            reply = c.reply()
            codes.append(reply.code)
            if reply.code == 452:
                self.assertIn("4.3.1", reply.text)
        self.assertEqual(set(codes), {250, 452})
        self.assertEqual(codes.count(250), len(sink.messages()))
        self.assertEqual({len(m.content) for m in sink.messages()}, {300000})
        self.assertEqual({c.message().code for c in clients}, {250})


class Disk(Case):
    """A disk of our own, as small as wanted. Each test has mounts that nobody else sees."""

    libc = ctypes.CDLL(None, use_errno=True)

    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        self.call("unshare", CLONE_NEWNS)
        self.mount("none", "/", None, MS_REC | MS_PRIVATE, None)
        self.mount("tmpfs", self.disk, "tmpfs", 0, "size=1m,mode=1777")
        self.addCleanup(lambda: self.call("umount2", str(self.disk).encode(), 2))
        self.mta = self.sink()
        self.gate = self.postern(self.mta, state_dir=str(self.disk),
                                 limits={"body_memory": "16KiB", "hold": "64MiB"})

    def call(self, name, *arguments):
        if getattr(self.libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")

    def mount(self, source, target, kind, flags, data):
        texts = [None if t is None else str(t).encode() for t in (source, target, kind, data)]
        self.call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])

    def refused(self, content):
        c = self.ready_client(self.gate)
        c.envelope()
        c.say("DATA", 354)
        reply = c.content(content)
        self.assertEqual(str(reply)[:9], "452 4.3.1")
        self.assertEqual(c.message().code, 250)  # the session goes on, as what is small needs no file
        self.assertEqual([len(m.content) for m in self.mta.messages()][-1], len(CONTENT))

    def accepted(self, content):
        c = self.ready_client(self.gate)
        c.envelope()
        c.say("DATA", 354)
        self.assertEqual(c.content(content).code, 250)
        self.assertEqual(self.mta.messages()[-1].content, content)

    def test_re12_full(self):
        self.refused(LINE * 20000)
        self.accepted(LINE * 5000)

    def test_re12_full_at_each_write(self):
        """Whatever is the write that fails: refused whole, or accepted whole."""
        filler = self.disk / "filler"
        content = LINE * 1500
        codes = set()
        for room in range(0, 256 * KIB, 12 * KIB):
            filler.write_bytes(b"f" * (MIB - room - 8 * KIB))
            before = len(self.mta.messages())
            c = self.ready_client(self.gate)
            c.envelope()
            c.say("DATA", 354)
            code = c.content(content).code
            codes.add(code)
            self.assertEqual([m.content for m in self.mta.messages()[before:]], [content] if code == 250 else [])
        self.assertEqual(codes, {250, 452})

    def test_re12_read_only(self):
        self.mount("tmpfs", self.disk, None, MS_REMOUNT | MS_RDONLY, None)
        self.refused(LINE * 1000)

    def test_re12_removed(self):
        self.call("umount2", str(self.disk).encode(), 2)
        self.disk.rmdir()
        self.refused(LINE * 1000)
        self.disk.mkdir(mode=0o777)
        self.disk.chmod(0o777)
        self.accepted(LINE * 1000)
        self.mount("tmpfs", self.disk, "tmpfs", 0, "size=1m,mode=1777")  # for the clean-up

    def test_re13_nothing_is_left_of_bodies_after_a_power_cut(self):
        clients = [self.ready_client(self.gate) for _ in range(3)]
        for c in clients:
            c.envelope()
            c.say("DATA", 354)
            c.send(LINE * 1000)
        used = lambda: os.statvfs(self.disk).f_blocks - os.statvfs(self.disk).f_bfree
        net.wait_until(lambda: used() >= 3 * 90000 // 4096, 10, "the bodies to be in files")
        self.gate.kill()
        self.assertEqual((list(self.disk.iterdir()), used()), ([], 0))
        self.assertEqual(self.mta.messages(), [])


class Floods(Measured):
    def headers(self, c, head):
        """How long a message with this header section takes, and its answer."""
        c.envelope()
        c.say("DATA", 354)
        start = time.monotonic()
        reply = c.content(head + b"Subject: t\r\n\r\nx\r\n")
        return reply, time.monotonic() - start

    FIELDS = {"500,000 lines": b"X-Flood: y\r\n" * 500000,
              "one of 10 MB": b"X-Flood: " + (b"x" * 998 + b"\r\n ") * 10000 + b"\r\n",
              "100,000 recipients": b"To: <somebody@example.test>\r\n" * 100000}

    def test_re14_header_floods_without_filters_pass(self):
        sink = self.sink()
        p = self.postern(sink, limits={"message": "100MiB"})
        for name, head in self.FIELDS.items():
            with self.subTest(name):
                reply, seconds = self.headers(self.ready_client(p, timeout=60), head)
                self.assertEqual(reply.code, 250)
                self.assertLess(seconds, 20)
                self.assertEqual(sink.messages()[-1].content, head + b"Subject: t\r\n\r\nx\r\n")

    def content_gate(self, sink, **limits):
        return self.postern(sink, files={"r.rules": "[header:Subject]\n/^never$/ REJECT no\n"}, limits=limits,
                            **with_filters("content", content={"plugin": "content", "rules": ["r.rules"]}))

    def test_re14_header_floods_beyond_the_limit_are_refused(self):
        sink = self.sink()
        p = self.content_gate(sink)
        for name, head in self.FIELDS.items():
            with self.subTest(name):
                reply, seconds = self.headers(self.ready_client(p, timeout=60), head)
                self.assertEqual(reply.code, 552)
                self.assertLess(seconds, 20)
        self.assertEqual(sink.messages(), [])

    def test_re16_names_of_headers_and_parameters_cost_their_length(self):
        """A hundred thousand names, none twice: four times as many take about four times as long."""
        p = self.content_gate(self.sink(), header_bytes="16MiB")
        c = self.ready_client(p, timeout=60)
        times = []
        for count in (25000, 100000):
            head = b"".join(b"X-%x: y\r\n" % i for i in range(count))
            times.append(self.headers(c, head)[1])
        parameters = b"Content-Type: text/plain" + b"".join(b";\r\n p%x=y" % i for i in range(20000)) + b"\r\n"
        self.headers(c, parameters)
        self.assertLess(times[1], 12 * max(times[0], 0.05))
        self.assertLess(max(times), 20)

    def test_re15_transactions_that_come_to_nothing_cost_nothing(self):
        p = self.gate(self.sink(), limits={"junk_commands": 1000000})
        names = b"".join(b"RCPT TO:<r%d@y.test>\r\n" % i for i in range(100))
        c = self.ready_client(p, timeout=60)

        def one_round():
            for _ in range(20):
                c.send(b"MAIL FROM:<a@x.test>\r\n" + names + b"RSET\r\n")
                self.assertEqual({c.reply().code for _ in range(102)}, {250})

        self.check_slope(p, one_round)

    def test_re17_errors_without_end_do_not_fill_the_log(self):
        p = self.postern(self.sink(), limits={"errors": 1000000})
        c = self.ready_client(p)
        before = len(p.log_lines())
        for _ in range(20):
            c.send(b"x" * 3000 + b"\r\n" + b"RCPT TO:<b@y.test>\r\n" * 500)
            for _ in range(501):
                c.reply()
        self.assertEqual(self.ready_client(p).message().code, 250)
        p.transactions()
        self.assertLess(len(p.log_lines()) - before, 10)

    def test_re17_a_log_that_nobody_reads_stops_nobody(self):
        sink = self.sink()
        p = Postern(self.fresh("postern"), config(sink.port))
        reader, writer = os.pipe()
        process = subprocess.Popen([str(BUILD / "postern"), "-c", str(p.file)], env=environment(), stderr=writer,
                                   stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.addCleanup(net.end_process, process)
        os.close(writer)
        net.wait_port(p.port)
        c = self.ready_client(p)
        for _ in range(400):  # a line in the log each, much more than a pipe holds
            start = time.monotonic()
            self.assertEqual(c.message().code, 250)
            self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(net.end_process(process), 0)
        with open(reader, "rb") as pipe:
            lines = pipe.read().splitlines()
        self.assertTrue(20 < len(lines) < 400, len(lines))
        self.assertTrue(all(line.startswith((b"postern: ", b"time=")) for line in lines), lines[-1])

    def test_re19_churn_has_no_slope(self):
        p = self.gate(self.sink())

        def one_round():
            for i in range(150):
                with Smtp(p.port) as c:
                    c.expect(220)
                    if i % 3 == 0:
                        c.ehlo()
                        c.envelope()
                    if i % 5 == 0:
                        c.quit()

        self.check_slope(p, one_round)

    def test_re22_keys_of_strangers_have_an_end(self):
        """In memory the table is as large as it was made; in Redis every key goes by itself (test_ratelimit)."""
        limits = {"per-sender": {"key": ["sender"], "count": "messages", "rate": "1/1h", "burst": 1}}
        filter_ = {"plugin": "ratelimit", "store": {"type": "memory"}, "limits": limits}
        p = self.gate(self.sink(), limits={"junk_commands": 1000000}, **with_filters("limits", limits=filter_))
        c, serial = self.ready_client(p, timeout=60), iter(range(10 ** 9))

        def one_round():
            for _ in range(1000):
                c.send(f"MAIL FROM:<stranger{next(serial)}@x.test>\r\nRSET\r\n")
                self.assertIn(c.reply().code, (250, 450))
                c.expect(250)

        self.check_slope(p, one_round)


if __name__ == "__main__":
    unittest.main()
