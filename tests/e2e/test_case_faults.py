# SPDX-License-Identifier: MIT
"""Cases of faults (FT) that other tests leave open; tests/cases.md says which test is for which case."""
import contextlib
import os
import random
import signal
import socket
import ssl
import threading
import time
import unittest

from tests.e2e.test_case_replies import Raw, commands
from tests.e2e.test_case_resources import LINE, MIB, SANITIZED, Measured, private_memory
from tests.e2e.test_processes import connect_until_closed, descriptors
from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener, with_filters
from tests.support.client import CONTENT, Closed, Smtp, dialogue
from tests.support.daemon import Postern, config
from tests.support.faults import Faults

ENVELOPE = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n"


class Upstreams(Measured):
    def test_ft05_a_server_that_is_away_is_not_asked_again_and_again(self):
        sink = self.sink(rules=[{"at": "CONNECT", "reply": "421 4.3.2 not now", "close": True}])
        p = self.postern(sink)
        net.wait_until(lambda: self.client(p).reply().code == 421, 10, "421 as greeting", 0.1)
        before = sink.connections
        for _ in range(50):
            self.assertEqual(self.client(p).reply().code, 421)
        time.sleep(2)
        self.assertLess(sink.connections - before, 8)

    def test_ft06_another_server_is_not_tried_behind_mail(self):
        """What the first may have taken must not go to the second as well."""
        first = self.sink(rules=[{"at": "RCPT", "silent": True, "close": True}])
        second = self.sink()
        p = self.postern(first, upstreams={"mta": {"servers": [f"127.0.0.1:{s.port}" for s in (first, second)],
                                                   "keep": 0}})
        self.assertEqual(dialogue(self.client(p))[-1], ("RCPT", 421))
        self.assertFalse(any(line.startswith(("MAIL", "RCPT")) for line in second.commands()))

    def test_ft08_goodbye_is_said_to_who_has_stopped_talking(self):
        for before in ((), ("EHLO me",)):
            with self.subTest(before):
                c = self.client(self.postern(self.sink()))
                c.expect(220)
                for command in before:
                    c.say(command, 250)
                c.send(b"QUIT\r\n")
                c.socket.shutdown(socket.SHUT_WR)
                c.expect(221)
                self.assertTrue(c.at_eof())

    def test_ft09_a_client_that_leaves_costs_the_server_its_transaction_at_once(self):
        sink = self.sink()
        p = self.postern(sink, upstreams={"mta": {"keep": 0}})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(LINE * 10000)
        start = time.monotonic()
        c.reset()
        net.wait_until(lambda: not any(k.open for k in sink.conversations), 5, "the server's connection to end")
        self.assertLess(time.monotonic() - start, 3)
        self.assertEqual((sink.messages(), p.transactions()[-1]["verdict"]), ([], "aborted"))

    def test_ft10_a_server_that_takes_nothing_for_a_while(self):
        """Back-pressure, not memory; then it goes on, and every octet arrives."""
        got = []

        def script(sock, lines):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            commands(lines, 1)
            sock.sendall(b"250 m\r\n250 r\r\n")
            commands(lines, 1)
            sock.sendall(b"354 go\r\n")
            time.sleep(3)
            for line in lines:
                if line == b".\r\n":
                    break
                got.append(len(line))
            sock.sendall(b"250 kept\r\n")
            lines.readline()

        p = self.gate(Raw(self, script))
        worker, = p.workers()
        before = private_memory(worker)
        c = self.ready_client(p, timeout=60)
        c.send(ENVELOPE)
        self.assertEqual([c.reply().code, c.reply().code], [250, 250])
        c.say("DATA", 354)
        sender = threading.Thread(target=c.send, args=(LINE * 80000 + b".\r\n",))
        sender.start()
        most = 0
        while sender.is_alive():
            most = max(most, private_memory(worker))
            time.sleep(0.1)
        self.assertEqual(str(c.reply()), "250 kept")
        self.assertEqual(sum(got), 8000000)
        self.assertLess(max(most, private_memory(worker)) - before, (8 if SANITIZED else 2) * MIB)

    def test_ft11_one_answer_for_all_recipients(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.say("MAIL FROM:<a@x.test>", 250)
        self.assertEqual([c.say(f"RCPT TO:<{r}@y.test>").code for r in ("b", "refuse550", "data452")], [250, 550, 250])
        c.say("DATA", 354)
        c.send(CONTENT + ".\r\nNOOP\r\n")
        self.assertEqual([c.reply().code, c.reply().code], [452, 250])
        self.assertEqual(sink.messages(), [])


class Processes(Case):
    def test_ft13_forty_sessions_in_all_states_when_it_stops(self):
        sink = self.sink(delay=1.0)
        p = self.postern(sink, timeouts={"drain": "10s"}, certificates=certificate_settings(c=certificates().good),
                         listeners={"main": listener(tls="starttls", certificate="c")})
        groups = {name: [self.ready_client(p) for _ in range(8)] for name in ("idle", "mail", "rcpt", "content", "end")}
        for name, clients in groups.items():
            for c in clients if name != "idle" else ():
                c.say("MAIL FROM:<a@x.test>", 250)
                if name != "mail":
                    c.say("RCPT TO:<b@y.test>", 250)
                if name in ("content", "end"):
                    c.say("DATA", 354)
                    c.send(CONTENT)
        for c in groups["end"]:
            c.send(b".\r\n")
        time.sleep(0.2)
        p.signal(signal.SIGTERM)
        self.assertEqual({tuple(connect_until_closed(c)) for c in groups["idle"]}, {(421,)})
        self.assertFalse(net.accepts("127.0.0.1", p.port))
        for c in groups["mail"]:
            c.say("RCPT TO:<b@y.test>", 250)
        for c in groups["mail"] + groups["rcpt"]:
            c.say("DATA", 354)
            c.send(CONTENT + ".\r\n")
        for c in groups["content"]:
            c.send(b".\r\n")
        for name in ("mail", "rcpt", "content", "end"):
            self.assertEqual({tuple(connect_until_closed(c)) for c in groups[name]}, {(250, 421)}, name)
        p.stop()
        self.assertEqual(len(sink.messages()), 32)

    def test_ft15_a_worker_that_always_dies_is_started_ever_more_slowly(self):
        p = self.postern(self.sink(), workers=2)
        p.deaths_expected = True
        end, served, times = time.monotonic() + 6, 0, []
        good = p.workers()[0]
        while time.monotonic() < end:
            for worker in p.workers():
                if worker != good:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                        times.append(time.monotonic())
            self.assertTrue(net.accepts("127.0.0.1", p.port), "the listener was closed")
            served += self.is_served(p)
            time.sleep(0.02)
        self.assertIn(good, p.workers())
        self.assertLess(len(times), 40, "it is restarted without a pause")
        self.assertGreater(served, 20)
        net.wait_until(lambda: len(p.workers()) == 2, 20, "the other worker to live again")

    def is_served(self, p):
        with contextlib.suppress(OSError, Closed, AssertionError), Smtp(p.port, timeout=5) as c:
            c.hello()
            return c.message().code == 250
        return False

    def test_ft18_signals_that_mean_nothing_here(self):
        p = self.postern(self.sink())
        workers = p.workers()
        for number in (signal.SIGPIPE, signal.SIGALRM, signal.SIGCHLD, signal.SIGURG, signal.SIGCONT, signal.SIGWINCH):
            for pid in [p.pid, *workers] * 20:
                os.kill(pid, number)
        self.assertEqual(self.ready_client(p).message().code, 250)
        self.assertEqual(p.workers(), workers)


class Faulty(Case):
    """A daemon into whose system calls the test can put faults."""

    strict_sink = False

    def gate(self, sink, files=None, **more):
        self.faults = Faults(self.folder)
        p = Postern(self.fresh("postern"), config(sink.port, **more), files)
        p.environment = self.faults.environment()
        return self.stack.enter_context(p)


class Clock(Faulty):
    def test_ft20_re18_the_clock_on_the_wall_jumps(self):
        """Nobody's time is over for it, and the log tells the new time at once."""
        sink = self.sink()
        p = self.gate(sink, timeouts={"command": "30s", "content": "30s", "upstream_idle": "20s"},
                      upstreams={"mta": {"keep_time": "30s"}})
        idle = [self.ready_client(p) for _ in range(200)]
        for jump in (3600, -7200, 86400 * 40, -86400 * 80, 0):
            with self.subTest(jump):
                inside = self.ready_client(p)
                inside.envelope()
                inside.say("DATA", 354)
                self.faults.set("clock_s", jump)
                time.sleep(0.5)
                self.assertEqual(inside.content(CONTENT).code, 250)
                stamp = p.transactions()[-1]["time"]
                told = time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")
                right = time.gmtime(time.time() + jump)
                self.assertEqual(told[:3], right[:3])
        self.assertEqual({c.say("NOOP").code for c in idle}, {250})
        self.assertFalse(p.log_lines("timeout"))


class Disturbed(Faulty):
    def test_ft17_reads_and_writes_that_are_cut_short_interrupted_or_put_off(self):
        certs = certificates()
        sink = self.tls_sink()
        p = self.gate(sink, certificates=certificate_settings(c=certs.good),
                      upstreams={"mta": {"tls": "required", "verify": False}},
                      listeners={"main": listener(tls="starttls", certificate="c")})
        contents = [LINE * 40, LINE * 4000, LINE * 20000]
        for one_in in (2, 3, 10):
            self.faults.set("disturb", one_in)
            for tls in (False, True):
                with self.subTest(one_in=one_in, tls=tls):
                    c = self.client(p, timeout=60)
                    c.hello()
                    if tls:
                        c.starttls()
                        c.ehlo()
                    for content in contents:
                        self.assertEqual(c.message(content=content).code, 250)
                        self.assertEqual(sink.messages()[-1].content, content)
                    c.send(ENVELOPE + b"RSET\r\n" + ENVELOPE + b"DATA\r\n")
                    self.assertEqual([c.reply().code for _ in range(6)], [250] * 5 + [354])
                    self.assertEqual(c.content(CONTENT).code, 250)
                    c.quit()
        self.assertGreater(self.faults.get("disturbed"), 200)
        self.faults.set("disturb", 0)


class Memory(Faulty):
    """The n-th allocation of a session fails, for each n. What was promised must hold all the same."""

    RULES = "[header:Subject]\n/forbidden/ REJECT 550 5.7.1 no\n"

    def setUp(self):
        super().setUp()
        self.mta = self.sink()
        limits = {"per-sender": {"key": ["sender"], "count": "messages", "rate": "1000000/1h", "burst": 1000000}}
        filters = with_filters("limits", "content", content={"plugin": "content", "rules": ["r.rules"]},
                               limits={"plugin": "ratelimit", "store": {"type": "memory"}, "limits": limits})
        self.p = self.gate(self.mta, {"r.rules": self.RULES}, limits={"body_memory": "4KiB"},
                           certificates=certificate_settings(c=certificates().good),
                           listeners={"main": listener(tls="starttls", certificate="c")}, **filters)
        self.worker, = self.p.workers()

    def talk(self, name, tls, content=CONTENT):
        """One session, as far as it goes: its steps, each with the code that came; the last may be a bad one."""
        steps = [("greeting", None, 220), ("EHLO", "EHLO me", 250), ("MAIL", f"MAIL FROM:<{name}@x.test>", 250),
                 ("RCPT", "RCPT TO:<b@y.test>", 250), ("DATA", "DATA", 354), ("DOT", content + ".", 250),
                 ("QUIT", "QUIT", 221)]
        if tls:
            steps[2:2] = [("STARTTLS", "STARTTLS", 220), ("EHLO", "EHLO me", 250)]
        done = []
        with contextlib.suppress(OSError, Closed, ssl.SSLError), Smtp(self.p.port, timeout=10) as c:
            for step, command, good in steps:
                done.append((step, None))
                if command:
                    c.send(command + "\r\n")
                done[-1] = (step, c.reply().code)
                if done[-1][1] != good:
                    break
                if step == "STARTTLS":
                    c.handshake()
        return done

    def steps(self, tls):
        """Which allocations fail: all of a session in the clear; of a handshake, which has thousands, a sample."""
        number = 1
        while True:
            yield number
            number += 1 if not tls or number < 30 else 17

    def check(self, tls, content, good):
        files = descriptors(self.worker)
        for number in self.steps(tls):
            before = self.faults.get("failed")
            net.wait_until(lambda: self.talk("between", False)[-1] == ("QUIT", 221), 10, "service", 0.2)
            self.faults.fail_allocation(number, self.worker)
            steps = self.talk(f"n{number}", tls, content)
            self.faults.fail_allocation(0, self.worker)
            failed = self.faults.get("failed") > before
            with self.subTest(number=number, steps=steps):
                self.check_outcome(f"n{number}@x.test", dict(steps), good, failed)
            if not failed:
                break
        self.assertGreater(number, 15, "the faults were not reached")
        self.assertEqual(self.p.workers(), [self.worker], "the worker died")
        net.wait_until(lambda: descriptors(self.worker) <= files + 8, 15, "the descriptors to return")

    def check_outcome(self, sender, steps, good, failed):
        """2xx for what the server has, 4xx or a close for what went wrong, and all good when nothing did.

        Memory may also be short for the server's answer itself: then the client hears 451, or nothing, and the log
        has the line that says what the server has.
        """
        kept = sum(m.sender == sender for m in self.mta.messages())
        answer = steps.get("DOT")
        self.assertIn((kept, answer), ((kept, None), (kept, 451), (0, 421), (0, 452), (good == 250, good)))
        self.assertLessEqual(kept, good == 250)
        if kept and answer != 250:
            line, = [t for t in self.p.events("transaction") if t.get("from") == sender]
            self.assertIn(line["verdict"], ("unknown", "accepted"))
        self.assertFalse([code for code in steps.values() if code and code >= 500 and code != good])
        if not failed:
            self.assertEqual(answer, good)

    def test_ft16_in_the_clear(self):
        self.check(False, CONTENT + "x\r\n" * 3000, 250)

    def test_ft16_what_is_forbidden_is_not_let_through_for_it(self):
        self.check(False, "Subject: forbidden\r\n\r\n" + "x\r\n" * 3000, 550)

    def test_ft16_in_tls(self):
        self.check(True, CONTENT, 250)


class Soak(Measured):
    """A mix of everything, for seconds instead of hours; what it costs must not grow."""

    def one(self, p, chance):
        with contextlib.suppress(OSError, Closed, AssertionError), Smtp(p.port, timeout=10) as c:
            if chance.random() < 0.1:
                return c.reset()
            c.hello()
            for _ in range(chance.randint(0, 3)):
                self.transaction(c, chance)
            if chance.random() < 0.5:
                c.quit()
        return None

    def transaction(self, c, chance):
        end = chance.choice(("good", "good", "refused", "RSET", "bad", "cut", "large"))
        c.envelope(recipients=["data554@y.test" if end == "refused" else "b@y.test"])
        if end == "RSET":
            c.say("RSET", 250)
        elif end == "bad":
            c.say("XYZZY", 500)
            c.say("RSET", 250)
        else:
            c.say("DATA", 354)
            c.send(LINE * (8000 if end == "large" else 3))
            if end == "cut":
                return c.reset()
            c.content(b"")
        return None

    def test_ft21_a_mix_of_everything_has_no_slope(self):
        sink = self.sink()
        p = self.gate(sink)
        chance = random.Random(21)

        def one_round():
            seeds = [random.Random(chance.random()) for _ in range(4)]
            threads = [threading.Thread(target=lambda r=r: [self.one(p, r) for _ in range(25)]) for r in seeds]
            for t in threads:
                t.start()
            for t in threads:
                t.join()

        self.check_slope(p, one_round, rounds=8, allowed=(8 if SANITIZED else 2) * MIB)
        self.assertEqual(self.ready_client(p).message().code, 250)


if __name__ == "__main__":
    unittest.main()
