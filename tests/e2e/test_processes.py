# SPDX-License-Identifier: MIT
"""Supervisor and workers: privileges, replacement, drain, signals, nothing left behind."""
import os
import pathlib
import pwd
import signal
import threading
import time
import unittest

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.client import Closed

HALF = b"Subject: half\r\n\r\nhalf\r\n"


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines)}


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def together(function, count):
    threads = [threading.Thread(target=function) for _ in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def connect_until_closed(client):
    """All reply codes until the other side closes."""
    codes = []
    try:
        while True:
            codes.append(client.reply().code)
    except (Closed, ConnectionError):
        return codes


class Workers(Case):
    def test_as_many_as_configured(self):
        p = self.postern(self.sink(), workers=3)
        self.assertEqual(len(p.workers()), 3)

    @unittest.skipIf(os.getuid() != 0, "only root can drop privileges")
    def test_workers_have_no_privileges(self):
        nobody = pwd.getpwnam("nobody")
        p = self.postern(self.sink())
        for worker in p.workers():
            s = status(worker)
            self.assertEqual(set(s["Uid"].split()), {str(nobody.pw_uid)}, s["Uid"])
            self.assertEqual(set(s["Gid"].split()), {str(nobody.pw_gid)}, s["Gid"])
            self.assertIn(s["Groups"], ("", str(nobody.pw_gid)))
            self.assertEqual(int(s["CapEff"], 16), 0)
            self.assertEqual(int(s["CapPrm"], 16), 0)
            self.assertEqual(s["NoNewPrivs"], "1")

    @unittest.skipIf(os.getuid() != 0, "needs a file that only root reads")
    def test_nobody_dumps_core(self):
        p = self.postern(self.sink())
        for pid in [p.pid, *p.workers()]:
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size +0 +0 ")

    def test_keys_that_only_root_reads_still_work_after_a_reload(self):
        certs = certificates()
        key = self.folder / "only-root.key"
        key.write_bytes(pathlib.Path(certs.good.key).read_bytes())
        key.chmod(0o600)
        p = self.postern(self.sink(), certificates={"c": {"certificate": certs.good.certificate, "key": str(key)}},
                         listeners={"main": listener(tls="implicit", certificate="c")})
        for _ in range(2):
            self.assertEqual(self.ready_client(p, tls=True).message().code, 250)
            self.assertIn("generation", p.reload())

    def test_a_killed_worker_is_replaced(self):
        sink = self.sink()
        p = self.postern(sink, workers=2)
        p.deaths_expected = True
        for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGQUIT):
            with self.subTest(number=number):
                old = p.workers()
                os.kill(old[0], number)
                net.wait_until(lambda: len(p.workers()) == 2 and old[0] not in p.workers(), 10, "a new worker")
                net.wait_until(lambda: self.served(p), 10, "service")
        p.wait_log(r"worker")

    def served(self, p):
        try:
            with self.client(p) as c:
                c.hello()
                return c.message().code == 250
        except (OSError, Closed, AssertionError):
            return False

    def test_a_killed_worker_ends_its_own_sessions_only(self):
        p = self.postern(self.sink(), workers=2)
        p.deaths_expected = True
        workers, clients = p.workers(), []
        before = [descriptors(w) for w in workers]
        while len(clients) < 500 and not all(descriptors(w) > b + 4 for w, b in zip(workers, before)):
            together(lambda: clients.append(self.ready_client(p)), 10)
        os.kill(workers[0], signal.SIGKILL)
        alive = sum(self.lives(c) for c in clients)
        self.assertTrue(0 < alive < len(clients), f"{alive} of {len(clients)}")

    def lives(self, client):
        try:
            return client.say("NOOP").code == 250
        except (OSError, Closed):
            return False

    def test_no_zombies(self):
        p = self.postern(self.sink(), workers=2)
        p.deaths_expected = True
        for _ in range(3):
            os.kill(p.workers()[0], signal.SIGKILL)
            net.wait_until(lambda: len([w for w in p.workers() if net.alive(w)]) == 2, 10, "two workers")
        self.assertTrue(all(net.alive(w) for w in p.workers()))

    def test_workers_end_with_their_supervisor(self):
        p = self.postern(self.sink(), workers=2)
        workers, port = p.workers(), p.port
        p.process.kill()
        p.process.wait()
        p.process = None
        net.wait_until(lambda: not any(net.alive(w) for w in workers), 10, "the workers to end")
        self.assertFalse(net.accepts("127.0.0.1", port))

    def test_restart_after_a_power_cut(self):
        sink = self.sink()
        p = self.postern(sink)
        self.assertTrue(self.served(p))
        p.kill()
        p.log_file.unlink()
        start = time.monotonic()
        p.start()
        self.assertTrue(self.served(p))
        self.assertLess(time.monotonic() - start, 10)


class Drain(Case):
    def test_idle_sessions_get_421_and_transactions_finish(self):
        sink = self.sink(delay=0.5)
        p = self.postern(sink)
        idle, greeted = self.ready_client(p), self.client(p)
        greeted.expect(220)
        inside, waiting = self.ready_client(p), self.ready_client(p)
        for c in (inside, waiting):
            c.envelope()
            c.say("DATA", 354)
        waiting.send(HALF + b".\r\n")
        inside.send(HALF)
        time.sleep(0.1)
        p.signal(signal.SIGTERM)
        self.assertEqual(connect_until_closed(idle), [421])
        self.assertEqual(connect_until_closed(greeted), [421])
        self.assertFalse(net.accepts("127.0.0.1", p.port))
        inside.send(b"other half\r\n.\r\n")
        self.assertEqual(connect_until_closed(inside)[0], 250)
        self.assertEqual(connect_until_closed(waiting)[0], 250)
        p.stop()
        self.assertEqual(len(sink.messages()), 2)

    def test_the_deadline_of_the_drain(self):
        sink = self.sink()
        p = self.postern(sink, timeouts={"drain": "500ms"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(HALF)
        start = time.monotonic()
        p.stop()
        self.assertLess(time.monotonic() - start, 5)
        self.assertIn(connect_until_closed(c), ([421], []))
        self.assertEqual(sink.messages(), [])

    def test_sigint_stops_at_once(self):
        p = self.postern(self.sink())
        c = self.ready_client(p)
        c.envelope()
        start = time.monotonic()
        p.signal(signal.SIGINT)
        p.process.wait(10)
        self.assertLess(time.monotonic() - start, 3)
        self.assertEqual(p.process.returncode, 0)
        p.check_log()
        p.process = None

    def test_nothing_is_left(self):
        state = self.folder / "bodies"
        state.mkdir()
        state.chmod(0o777)
        p = self.postern(self.sink(), workers=2, state_dir=str(state))
        c = self.ready_client(p)
        c.message(content="x" * 70 + "\r\n")
        workers = p.workers()
        p.stop()
        self.assertFalse(any(net.alive(w) for w in workers))
        self.assertEqual(list(state.iterdir()), [])


class Signals(Case):
    def test_log_is_reopened(self):
        log = self.folder / "logs" / "mail.log"
        log.parent.mkdir()
        log.parent.chmod(0o777)
        p = self.postern(self.sink(), log={"to": str(log)})
        self.assertEqual(self.ready_client(p).message("one@x.test").code, 250)
        net.wait_until(lambda: "one@x.test" in log.read_text(), 5, "the first line")
        log.rename(log.with_suffix(".1"))
        p.signal(signal.SIGUSR1)
        net.wait_until(log.exists, 10, "the new log file")
        net.wait_until(lambda: self.logged(p, log), 10, "a line in the new file")

    def logged(self, p, log):
        self.ready_client(p).message("two@x.test")
        return "two@x.test" in log.read_text()

    def test_storms_of_harmless_signals(self):
        p = self.postern(self.sink())
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1, signal.SIGWINCH):
            for _ in range(20):
                p.signal(number)
                for w in p.workers():
                    os.kill(w, number)
        self.assertEqual(self.ready_client(p).message().code, 250)


class Resources(Case):
    def test_descriptors_and_memory_return_to_where_they_were(self):
        p = self.postern(self.sink(), upstreams={"mta": {"keep_time": "500ms"}})
        self.rounds(p, 3)
        worker = p.workers()[0]
        time.sleep(1.5)  # kept upstream connections, see keep_time
        before = descriptors(worker)
        self.rounds(p, 5)
        net.wait_until(lambda: descriptors(worker) <= before, 10, "descriptors to return")
        self.assertEqual(p.workers(), [worker])

    def rounds(self, p, count):
        def one():
            with self.client(p) as c:
                c.hello()
                c.message()
                c.say("MAIL FROM:<a@x.test>", 250)
        for _ in range(count):
            together(one, 20)

    def test_hundreds_of_idle_sessions(self):
        p = self.postern(self.sink())
        clients = [self.ready_client(p) for _ in range(300)]
        self.assertEqual(self.ready_client(p).message().code, 250)
        self.assertEqual({c.say("NOOP").code for c in clients}, {250})

    def test_sessions_beyond_the_limit_get_421(self):
        p = self.postern(self.sink(), limits={"sessions": 5})
        held = [self.ready_client(p) for _ in range(5)]
        self.assertEqual(self.client(p).reply().code, 421)
        held[0].quit()
        net.wait_until(lambda: self.client(p).reply().code == 220, 10, "a free place", 0.1)

    def test_health_checks_make_no_noise(self):
        sink = self.sink()
        p = self.postern(sink, certificates=certificate_settings(c=certificates().good),
                         listeners={"main": None, "tls": listener(tls="starttls", certificate="c")})
        before, lines = self.connections_after_probe(sink), len(p.log_lines("event=transaction"))
        for _ in range(20):
            self.client(p).reset()
            with self.client(p) as c:
                c.hello()
                c.quit()
        self.assertEqual((sink.connections, len(p.log_lines("event=transaction"))), (before, lines))


if __name__ == "__main__":
    unittest.main()
