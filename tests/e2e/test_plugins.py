# SPDX-License-Identifier: MIT
"""Plugins made for tests, in the daemon: every verdict in every phase, late answers, failures, what they see."""
import collections
import os
import time
import unittest

from tests.support import net
from tests.support.case import Case, with_filters
from tests.support.client import CONTENT, GOOD, Closed, dialogue
from tests.support.daemon import BUILD, config, run, yaml

PLUGINS = {"path": str(BUILD / "tests" / "plugins")}
STEPS = {"connect": ("greeting",), "helo": ("EHLO", "MAIL"), "mail": ("MAIL",), "rcpt": ("RCPT",), "data": ("DATA",),
         "headers": ("DOT",), "end": ("DOT",)}
CODES = {"reject": (554, 550), "tempfail": (451, 450, 421), "disconnect": (421,)}


class Plugins(Case):
    def gate(self, sink, plugin, *others, **options):
        filters = {"one": {"plugin": plugin, **options.pop("settings", {})}}
        for n, other in enumerate(others):
            filters[f"other{n}"] = other
        return self.postern(sink, plugins=PLUGINS, **with_filters(*filters, **filters), **options)

    def last(self, p, **options):
        return dialogue(self.client(p, **options))[-1]


class Verdicts(Plugins):
    def test_every_refusal_in_every_phase(self):
        for plugin, more in (("refuse", {}), ("slow", {"after": "50ms"})):
            for phase, steps in STEPS.items():
                for action, codes in CODES.items():
                    with self.subTest(plugin=plugin, phase=phase, action=action):
                        sink = self.sink()
                        told = {"phase": phase, "action": action, "text": "as told", **more}
                        p = self.gate(sink, plugin, settings=told)
                        step, code = self.last(p)
                        self.assertIn(step, steps)
                        self.assertIn(code, codes)
                        self.assertEqual(sink.messages(), [])
                        p.stop()

    def test_text_and_codes_are_the_plugins_but_sane(self):
        cases = (
            ({"code": 553, "enhanced": "5.1.8", "text": "No such sender"}, "553 5.1.8 No such sender"),
            ({"code": 250, "text": "fine"}, "550 5."), ({"code": 599, "text": "odd"}, "5"), ({"code": 42}, "550"),
            ({"enhanced": "4.7.1", "text": "disagrees"}, "550 5."), ({"text": "a%s%n"}, "550 5.7.1 a%s%n"),
            ({"text": "x" * 600}, "550"),
        )
        for settings, begin in cases:
            with self.subTest(settings=settings):
                p = self.gate(self.sink(), "refuse", settings={"phase": "mail", **settings})
                c = self.ready_client(p)
                reply = c.say("MAIL FROM:<a@x.test>")
                self.assertTrue(str(reply).startswith(begin), reply)
                self.assertEqual(reply.code // 100, 5)
                self.assertTrue(all(len(line) <= 512 for line in reply.raw.split(b"\r\n")))
                p.stop()

    def test_accept_discard_delay(self):
        cases = (("accept", "mail", 1, 0), ("accept", "end", 1, 0), ("discard", "mail", 0, 0),
                 ("discard", "end", 0, 0), ("delay", "rcpt", 1, 0.3),
                 ("delay", "end", 1, 0.3), ("delay", "connect", 1, 0.3))
        for action, phase, kept, seconds in cases:
            with self.subTest(action=action, phase=phase):
                sink = self.sink()
                p = self.gate(sink, "refuse", settings={"phase": phase, "action": action, "delay": "300ms"})
                start = time.monotonic()
                self.assertEqual(dict(dialogue(self.client(p))), GOOD)
                self.assertGreaterEqual(time.monotonic() - start, seconds)
                self.assertEqual(len(sink.messages()), kept)
                self.assertEqual(p.transactions()[-1]["verdict"], "accepted" if kept else "discarded")
                p.stop()

    def test_accept_skips_the_filters_behind_and_only_for_this_message(self):
        behind = {"plugin": "refuse", "phase": "end", "action": "reject"}
        p = self.gate(self.sink(), "refuse", behind, settings={"phase": "mail", "action": "accept"})
        self.assertEqual(self.last(p), ("DOT", 250))
        p = self.gate(self.sink(), "refuse", behind, settings={"phase": "rcpt", "action": "accept"})
        self.assertEqual(self.last(p), ("DOT", 550))

    def test_shadow_of_every_refusal(self):
        for phase in STEPS:
            with self.subTest(phase=phase):
                p = self.gate(self.sink(), "refuse", settings={"phase": phase, "action": "reject", "mode": "shadow"})
                self.assertEqual(self.last(p), ("DOT", 250))
                p.stop()

    def test_hello_as_shipped(self):
        p = self.postern(self.sink(), **with_filters("manners", manners={"plugin": "hello", "name": "friend.example"}))
        c = self.client(p)
        c.expect(220)
        replies = [c.say("EHLO Friend.Example"), c.say("MAIL FROM:<a@x.test>")]
        self.assertTrue(any(r.code == 550 and "Not with that name" in r.text for r in replies), replies)
        self.assertEqual(self.last(p), ("DOT", 250))


class Lateness(Plugins):
    def test_deadline_and_what_stands_then(self):
        cases = (({"on_timeout": "open", "own_deadline": "100ms"}, 250),
                 ({"on_timeout": "tempfail", "own_deadline": "100ms"}, 451),
                 ({"on_timeout": "reject", "own_deadline": "100ms"}, 550),
                 ({"on_timeout": "on_error", "own_deadline": "100ms", "on_error": "accept"}, 250),
                 ({"on_timeout": "on_error", "own_deadline": "100ms", "on_error": "reject"}, 550),
                 ({"on_timeout": "on_error", "own_deadline": "0s", "deadline": "100ms", "on_error": "tempfail"}, 451))
        for settings, code in cases:
            with self.subTest(settings=settings):
                p = self.gate(self.sink(), "slow", settings={"phase": "end", "after": "30s", **settings})
                start = time.monotonic()
                self.assertEqual(self.last(p, timeout=30)[1], code)
                self.assertLess(time.monotonic() - start, 8)
                p.stop()

    def test_failures_of_every_kind(self):
        for how in ("silent", "session", "nonsense", "pending_again"):
            for on_error, codes in (("tempfail", (451,)), ("accept", (250, 451)), ("reject", (550, 451))):
                for phase in ("helo", "rcpt", "end"):
                    with self.subTest(how=how, on_error=on_error, phase=phase):
                        p = self.gate(self.sink(), "failing", settings={
                            "how": how, "phase": phase, "on_error": on_error, "deadline": "200ms"})
                        self.assertIn(self.last(p)[1], codes)
                        p.stop()

    def test_a_late_answer_finds_nobody(self):
        sink = self.sink()
        p = self.gate(sink, "late", settings={"phase": "end", "action": "reject", "after": "400ms"})
        for leave in ("close", "reset"):
            c = self.ready_client(p)
            c.envelope()
            c.say("DATA", 354)
            c.send(CONTENT + ".\r\n")
            time.sleep(0.1)
            getattr(c, leave)()
        time.sleep(0.6)
        self.assertEqual(sink.messages(), [])
        self.assertEqual(self.last(p), ("DOT", 550))

    def test_a_late_answer_is_not_for_the_next_message(self):
        p = self.gate(self.sink(), "late", settings={"phase": "rcpt", "action": "reject", "after": "400ms",
                                                     "on_error": "accept", "deadline": "100ms"})
        c = self.ready_client(p)
        self.assertEqual([c.message(f"s{i}@x.test").code for i in range(8)], [250] * 8)
        time.sleep(0.6)  # the plugin's last timers

    def test_others_go_on_while_one_waits(self):
        p = self.gate(self.sink(), "slow", settings={"phase": "end", "action": "continue", "after": "2s"})
        waiting = [self.ready_client(p) for _ in range(5)]
        for c in waiting:
            c.envelope()
            c.say("DATA", 354)
            c.send(CONTENT + ".\r\n")
        start = time.monotonic()
        for _ in range(5):
            self.ready_client(p).quit()
        self.assertLess(time.monotonic() - start, 1)
        self.assertEqual([c.reply().code for c in waiting], [250] * 5)
        self.assertLess(time.monotonic() - start, 4)

    def test_reload_and_stop_while_a_verdict_is_pending(self):
        sink = self.sink()
        p = self.gate(sink, "slow", settings={"phase": "end", "action": "continue", "after": "1s"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(CONTENT + ".\r\n")
        time.sleep(0.1)
        self.assertIn("generation", p.reload())
        p.stop()
        self.assertEqual(c.reply().code, 250)
        self.assertEqual(len(sink.messages()), 1)


class Recorded(Plugins):
    def setUp(self):
        super().setUp()
        self.record = self.folder / "record"
        self.record.touch()
        self.record.chmod(0o666)

    def gate(self, sink, *others, **options):
        return super().gate(sink, "recorder", *others, settings={"file": str(self.record)}, **options)

    def calls(self):
        return [line.split(" ") for line in self.record.read_text().splitlines()]

    def test_end_xor_abort_whatever_happens(self):
        sink = self.sink()
        p = self.gate(sink)
        endings = ("RSET", "EHLO x", "QUIT", "close", "reset", "refuse550@y.test", "data554@y.test",
                   "in content", "good")
        for end in endings:
            c = self.ready_client(p)
            if end == "good":
                self.assertEqual(c.message().code, 250)
            elif "@" in end:
                c.say("MAIL FROM:<a@x.test>", 250)
                if c.say(f"RCPT TO:<{end}>").code == 250:
                    c.say("DATA", 354)
                    c.content(CONTENT)
            else:
                c.envelope()
                self.leave(c, end)
            c.close()
        net.wait_until(lambda: sum(c[0] == "end" for c in self.calls()) >= len(endings), 10, "all sessions to end")
        self.check()

    def leave(self, c, end):
        if end == "in content":
            c.say("DATA", 354)
            c.send(b"Subject: x\r\n")
            c.reset()
        elif end in ("close", "reset"):
            getattr(c, end)()
        else:
            c.say(end)

    def check(self):
        sessions = collections.defaultdict(list)
        for words in self.calls():
            sessions[words[1]].append(words[0])
        for name, calls in sessions.items():
            open_transaction = False
            for call in calls:
                if call == "MAIL":
                    self.assertFalse(open_transaction, (name, calls))
                    open_transaction = True
                elif call in ("END", "ABORT"):
                    self.assertTrue(open_transaction, (name, calls))
                    open_transaction = False
            self.assertFalse(open_transaction, (name, calls))
            once = [calls.count(call) for call in ("begin", "end", "DISCONNECT")]
            self.assertEqual(once, [1, 1, 1], (name, calls))

    def test_what_a_filter_sees_of_a_message(self):
        p = self.gate(self.sink())
        c = self.ready_client(p)
        content = ("Subject: =?utf-8?Q?a_b?=\r\nX-Folded: one\r\n two\r\n"
                   "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
                   "--b\r\nContent-Type: text/plain\r\n\r\n..dot\r\n"
                   "--b\r\nContent-Type: application/x; name=f.bin\r\n\r\nx\r\n--b--\r\n")
        c.say("MAIL FROM:<s@x.test>", 250)
        c.say("RCPT TO:<r@y.test>", 250)
        c.say("RCPT TO:<refuse550@y.test>", 550)
        c.say("DATA", 354)
        self.assertEqual(c.content(content).code, 250)
        c.quit()
        net.wait_until(lambda: any(w[0] == "end" for w in self.calls()), 10, "the end")
        text = self.record.read_text()
        for piece in ("MAIL ", "s@x.test", "HEADER", "a b", "one two", "DATA", "HEADERS", "f.bin", "text/plain",
                      "code=550 upstream=1", "code=250 upstream=1"):
            self.assertIn(piece, text)
        order = ["CONNECT", "HELO", "MAIL", "DATA", "HEADERS", "END", "MESSAGE_REPLY", "DISCONNECT"]
        self.assertEqual([w[0] for w in self.calls() if w[0] in order], order)
        body = "".join(w[2] if len(w) > 2 else "" for w in self.calls() if w[0] == "BODY")
        self.assertIn(".dot", body)
        self.assertNotIn("..dot", body)


class Loading(Plugins):
    def test_what_is_no_plugin_is_refused_by_name(self):
        for plugin in ("no_symbol", "wrong_abi", "wrong_magic", "absent", "../evil", "failing"):
            with self.subTest(plugin=plugin):
                options = {"how": "configure"} if plugin == "failing" else {}
                path = self.fresh("conf")
                path.write_text(yaml(config(net.free_port(), plugins=PLUGINS, **with_filters(
                    "x", x={"plugin": plugin, **options}))).lstrip("\n") + "\n")
                done = run("-t", "-c", str(path))
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertRegex(done.stderr, r":\d+:\d+: error: ")

    def test_plugins_that_only_root_can_read(self):
        private = self.folder / "private"
        private.mkdir(mode=0o700)
        (private / "refuse.so").write_bytes((BUILD / "tests" / "plugins" / "refuse.so").read_bytes())
        p = self.postern(self.sink(), plugins={"path": str(private)},
                         **with_filters("x", x={"plugin": "refuse", "phase": "mail"}))
        self.assertEqual(self.last(p), ("MAIL", 550))
        self.assertIn("generation", p.reload())
        p.deaths_expected = True
        os.kill(p.workers()[0], 9)
        net.wait_until(lambda: self.answer(p) == ("MAIL", 550), 10, "the new worker", 0.1)

    def answer(self, p):
        try:
            return self.last(p)
        except (OSError, Closed):
            return None


if __name__ == "__main__":
    unittest.main()
