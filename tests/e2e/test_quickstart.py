# SPDX-License-Identifier: MIT
"""deploy/quickstart as a person would use it. Uses the release build in build/."""
import os
import pathlib
import signal
import smtplib
import socket
import subprocess
import time
import unittest

from tests.support import net
from tests.support.case import Case
from tests.support.daemon import ROOT
from tests.support.redisd import RedisServer

SCRIPT = str(ROOT / "deploy" / "quickstart")


def hears_sigint():
    """As from a terminal: who runs the tests in the background has it ignored, and a shell cannot change that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Quickstart(Case):
    def setUp(self):
        super().setUp()
        self.state = self.folder / "state"
        self.ports = net.free_port(), net.free_port()

    def words(self, *more):
        return [SCRIPT, "--state", str(self.state), "--listen", f"127.0.0.1:{self.ports[0]}",
                "--listen-tls", f"127.0.0.1:{self.ports[1]}", *more]

    def run_it(self, *more):
        return subprocess.run(self.words(*more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
                              check=False, start_new_session=True)

    def start_it(self, *more):
        self.out = open(self.folder / "out", "wb")
        self.addCleanup(self.out.close)
        process = subprocess.Popen(self.words(*more), stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out,
                                   start_new_session=True, preexec_fn=hears_sigint)
        self.addCleanup(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
        net.wait_until(lambda: "postern is up" in self.said() or process.poll() is not None, 600, "postern is up")
        self.assertIsNone(process.poll(), self.said())
        return process

    def said(self):
        return (self.folder / "out").read_text()

    def left(self, session):
        """Processes of that session that still live."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[3]) == session and words[0] != "Z":
                found.append((entry / "cmdline").read_bytes())
        return found

    def test_demo(self):
        done = self.run_it("--demo")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("\nok  "), 5, done.stdout)
        for port in self.ports:
            self.assertFalse(net.accepts("127.0.0.1", port))

    def test_interactive_and_how_it_ends(self):
        for number, whole_session in ((signal.SIGINT, True), (signal.SIGTERM, False)):
            with self.subTest(number=number):
                process = self.start_it()
                for word in (str(self.ports[0]), str(self.ports[1]), "swaks", "smtplib", "starttls"):
                    self.assertIn(word, self.said())
                with smtplib.SMTP("127.0.0.1", self.ports[0]) as s:
                    s.starttls()
                    s.sendmail("me@example.org", ["you@example.net"], "Subject: hello\r\n\r\nhello\r\n")
                with smtplib.SMTP_SSL("127.0.0.1", self.ports[1]) as s:
                    with self.assertRaises(smtplib.SMTPDataError):
                        s.sendmail("me2@example.org", ["you@example.net"],
                                   "Content-Type: text/plain; name=x.exe\r\n\r\nhello\r\n")
                self.assertTrue(list((self.state / "mail").glob("*.eml")))
                if whole_session:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
                process.wait(20)
                net.wait_until(lambda: not self.left(process.pid), 10, f"nothing to be left: {self.left(process.pid)}")
                self.out.close()

    def test_second_run_starts_in_seconds(self):
        self.run_it("--demo")
        start = time.monotonic()
        process = self.start_it()
        self.assertLess(time.monotonic() - start, 10)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.wait(20)

    def test_a_taken_port_is_said(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.ports[0]))
            taken.listen()
            done = self.run_it("--demo")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"127.0.0.1:{self.ports[0]}", done.stderr)
        self.assertIn("--listen", done.stderr)

    def test_usage(self):
        for words, code in ((("--help",), 0), (("--nonsense",), 2), (("--listen",), 2), (("--listen", "here"), 1),
                            (("--demo", "--upstream", "127.0.0.1:25"), 1), (("--intercept", "--demo"), 1)):
            with self.subTest(words=words):
                done = subprocess.run([SCRIPT, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                      timeout=60, check=False)
                self.assertEqual(done.returncode, code, done.stderr)

    def test_another_upstream_and_redis(self):
        sink = self.sink()
        with RedisServer(self.folder / "redis") as redis:
            process = self.start_it("--upstream", f"127.0.0.1:{sink.port}", "--redis", f"127.0.0.1:{redis.port}")
            codes = []
            for _ in range(11):
                with smtplib.SMTP("127.0.0.1", self.ports[0]) as s:
                    s.starttls()
                    s.ehlo()
                    s.mail("me@example.org")
                    code = s.rcpt("you@example.net")[0]
                    codes.append(s.data("Subject: x\r\n\r\nx\r\n")[0] if code == 250 else code)
            self.assertEqual(codes[:10], [250] * 10)
            self.assertGreater(redis.keys(), 0)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        self.assertEqual(len(sink.messages()), 10)


class Gateway(Case):
    """--intercept: three hosts, a real mail server, and nothing left of them."""

    def start(self, **options):
        self.out = open(self.folder / "out", "w+b")
        self.addCleanup(self.out.close)
        process = subprocess.Popen([SCRIPT, "--intercept", "--state", str(self.folder / "state")],
                                   stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out, start_new_session=True,
                                   preexec_fn=hears_sigint, **options)
        self.addCleanup(lambda: process.poll() is None and os.killpg(process.pid, signal.SIGKILL))
        return process

    def said(self):
        return (self.folder / "out").read_text()

    def left(self, pid):
        """What there still is of the demonstration: namespaces, folders, processes in them."""
        found = [*pathlib.Path("/run/netns").glob(f"postern-{pid}-*"), *pathlib.Path("/tmp").glob(f"postern-gateway-{pid}-*")]
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                where = os.readlink(entry / "cwd")
                words = (entry / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if f"postern-gateway-{pid}-" in where or f"{self.folder}/state" in words:
                found.append(words)
        return found

    def ends(self, process):
        process.wait(600)
        self.assertEqual(self.left(process.pid), [])
        return process.returncode

    def test_demo(self):
        self.assertEqual(self.ends(self.start()), 0, self.said())
        said = self.said()
        self.assertEqual((said.count("\nok  "), said.count("BAD")), (14, 0), said)
        for address in ("192.0.2.2", "2001:db8:1::2"):
            self.assertIn(f"connect from unknown[{address}]", said)
            self.assertRegex(said, rf"client={address} .* verdict=rejected .*filter=content")
        self.assertEqual(said.count("  550 5.7.1 GTUBE"), 2)
        self.assertEqual(said.count("  250 2.0.0 Ok: queued as"), 2)

    def test_without_postfix(self):
        tools = self.folder / "tools"
        tools.mkdir()
        for folder in reversed(os.environ["PATH"].split(":")):
            for path in pathlib.Path(folder).glob("*"):
                if path.name != "postfix":
                    (tools / path.name).unlink(missing_ok=True)
                    (tools / path.name).symlink_to(path)
        self.assertEqual(self.ends(self.start(env={**os.environ, "PATH": str(tools)})), 0, self.said())
        self.assertIn("bundled sink", self.said())
        self.assertIn("connect from [2001:db8:1::2]", self.said())

    def test_says_what_is_wrong(self):
        rules = self.folder / "state" / "rules"
        rules.mkdir(parents=True)
        (rules / "quickstart.rules").write_text("[text]\n/nothing at all/ REJECT\n")
        self.assertEqual(self.ends(self.start()), 1, self.said())
        self.assertIn("BAD  refused, by postern\n         250 ", self.said())

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for when in ("Three hosts", "intercept: up", "A clean message"):
                with self.subTest(number=number, when=when):
                    process = self.start()
                    net.wait_until(lambda: when in self.said() or process.poll() is not None, 600, when)
                    os.killpg(process.pid, number)
                    self.assertNotEqual(self.ends(process), 0)
                    self.out.close()


if __name__ == "__main__":
    unittest.main()
