# SPDX-License-Identifier: MIT
"""Upstreams that are broken, hostile, slow or gone (areas UR and FT of the catalogue).

The rule behind all: a client reads 2xx for a message only when the upstream gave 2xx to that very message.
"""
import socket
import threading
import time
import unittest

from tests.support import net
from tests.support.case import Case, listener
from tests.support.client import CONTENT, GOOD, Closed, dialogue

# name: (the upstream's rule, where the client sees it at the earliest, codes that it may see)
TEMPORARY = (421, 451, None)
MISBEHAVIOUR = {
    "UR-03 two replies to MAIL": ({"at": "MAIL", "raw": "250 a\r\n250 b\r\n"}, "MAIL", TEMPORARY),
    "UR-03 two replies to RCPT": ({"at": "RCPT", "raw": "250 a\r\n250 b\r\n"}, "RCPT", TEMPORARY),
    "UR-03 two replies to DATA": ({"at": "DATA", "raw": "354 a\r\n250 ok\r\n"}, "DATA", TEMPORARY),
    "UR-06 code changes": ({"at": "MAIL", "raw": "250-a\r\n550 b\r\n"}, "MAIL", TEMPORARY),
    "UR-06 code changes at DOT": ({"at": "DOT", "raw": "200-This\r\n250 x\r\n"}, "DOT", TEMPORARY),
    "UR-08 no code": ({"at": "MAIL", "raw": "+OK\r\n"}, "MAIL", TEMPORARY),
    "UR-08 short": ({"at": "RCPT", "raw": "25\r\n"}, "RCPT", TEMPORARY),
    "UR-08 underscore": ({"at": "RCPT", "raw": "250_x\r\n"}, "RCPT", TEMPORARY),
    "UR-08 999": ({"at": "DOT", "raw": "999 x\r\n"}, "DOT", TEMPORARY),
    "UR-08 099": ({"at": "DOT", "raw": "099 x\r\n"}, "DOT", TEMPORARY),
    "UR-08 empty line": ({"at": "DOT", "raw": "\r\n"}, "DOT", TEMPORARY),
    "UR-08 22X": ({"at": "MAIL", "raw": "22X OK\r\n"}, "MAIL", TEMPORARY),
    "UR-12 354 to MAIL": ({"at": "MAIL", "reply": "354 go"}, "MAIL", TEMPORARY),
    "UR-12 250 to DATA": ({"at": "DATA", "reply": "250 ok"}, "DATA", TEMPORARY),
    "UR-12 354 to DOT": ({"at": "DOT", "reply": "354 more"}, "DOT", TEMPORARY),
    "UR-12 334 to RCPT": ({"at": "RCPT", "reply": "334 x"}, "RCPT", TEMPORARY),
    "UR-14 421 to MAIL": ({"at": "MAIL", "reply": "421 4.3.2 bye", "close": True}, "MAIL", TEMPORARY),
    "UR-14 421 to RCPT": ({"at": "RCPT", "reply": "421 4.3.2 bye", "close": True}, "RCPT", TEMPORARY),
    "UR-14 421 to DATA": ({"at": "DATA", "reply": "421 4.3.2 bye", "close": True}, "DATA", TEMPORARY),
    "UR-14 421 to DOT": ({"at": "DOT", "reply": "421 4.3.2 bye", "close": True}, "DOT", TEMPORARY),
    "UR-15 closes at MAIL": ({"at": "MAIL", "silent": True, "close": True}, "MAIL", TEMPORARY),
    "UR-15 closes at RCPT": ({"at": "RCPT", "silent": True, "close": True}, "RCPT", TEMPORARY),
    "UR-15 closes at DATA": ({"at": "DATA", "silent": True, "close": True}, "DATA", TEMPORARY),
    "UR-15 closes at DOT": ({"at": "DOT", "silent": True, "close": True}, "DOT", TEMPORARY),
    "UR-15 reset at DOT": ({"at": "DOT", "silent": True, "reset": True}, "DOT", TEMPORARY),
    "UR-16 partial at MAIL": ({"at": "MAIL", "raw": "25", "close": True}, "MAIL", TEMPORARY),
    "UR-16 partial at DOT": ({"at": "DOT", "raw": "250-abc\r\n", "close": True}, "DOT", TEMPORARY),
    "UR-16 partial 250": ({"at": "DOT", "raw": "250 ok", "close": True}, "DOT", TEMPORARY),
    "SM-26 451 inside content": ({"at": "BODY", "reply": "451 4.3.0 no", "times": 1}, "DOT", TEMPORARY),
    "FT closes inside content": ({"at": "BODY", "silent": True, "close": True}, "DOT", TEMPORARY),
    "500 to DATA": ({"at": "DATA", "reply": "554 5.5.1 no"}, "DATA", (554,)),
    "451 to DATA": ({"at": "DATA", "reply": "451 4.3.0 no"}, "DATA", (451,)),
}
HARMLESS = {
    "UR-09 no text": {"at": "MAIL", "raw": "250\r\n"},
    "UR-09 empty lines": {"at": "RCPT", "raw": "250-\r\n250 \r\n"},
    "UR-18 byte by byte": {"at": "RCPT", "reply": "250 2.1.5 ok\nreally", "trickle": 0.002},
    "UR-21 odd enhanced code": {"at": "MAIL", "reply": "250 5.1.1 odd"},
    "UR-21 absurd enhanced code": {"at": "DOT", "reply": "250 2.999.99999 x"},
    "slow": {"at": "DOT", "delay": 0.5},
}


class Misbehaviour(Case):
    def setUp(self):
        super().setUp()
        self.mta = self.sink()
        self.gate = self.postern(self.mta, upstreams={"mta": {"keep": 4, "probe": "1s"}},
                                 timeouts={"upstream_command": "2s", "upstream_data": "2s", "upstream_final": "2s"})

    def stored(self, sender):
        return sum(m.sender == sender for m in self.mta.messages())

    def check_recovered(self):
        self.mta.set_rules([])
        senders = []

        def good():
            senders.append(f"good{time.monotonic_ns()}@x.test")
            return dialogue(self.client(self.gate), senders[-1])[-1] == ("DOT", 250)

        net.wait_until(good, 10, "a good transaction", 0.2)
        self.assertEqual([self.stored(s) for s in senders], [0] * (len(senders) - 1) + [1])

    def test_no_misbehaviour_is_ever_a_success(self):
        order = list(GOOD)
        for name, (rule, earliest, codes) in MISBEHAVIOUR.items():
            with self.subTest(name):
                sender = f"bad{time.monotonic_ns()}@x.test"
                self.mta.set_rules([rule])
                step, code = dialogue(self.client(self.gate), sender)[-1]
                self.assertGreaterEqual(order.index(step), order.index(earliest))
                self.assertIn(code, codes + ((503, 452, 450) if step != earliest else ()), f"at {step}")
                if rule["at"] not in ("DOT", "BODY", "DATA"):
                    self.assertEqual(self.stored(sender), 0)
                self.check_recovered()

    def test_sm26_an_early_250_is_not_for_this_message(self):
        """It comes while most of the content is still with postern: it cannot be the answer to the end."""
        self.mta.set_rules([{"at": "BODY", "after": 100000, "reply": "250 2.0.0 sure", "times": 1}])
        self.mta.options.read_pause = 0.01
        c = self.ready_client(self.gate)
        c.envelope()
        c.say("DATA", 354)
        self.assertIn(c.content("x" * 70 + "\r\n" + CONTENT * 700000).code, (421, 451))
        self.mta.options.read_pause = 0.0
        self.assertEqual(self.mta.messages(), [])
        self.check_recovered()

    def test_harmless_oddities_pass(self):
        for name, rule in HARMLESS.items():
            with self.subTest(name):
                self.mta.set_rules([rule])
                self.assertEqual(dict(dialogue(self.client(self.gate))), GOOD)

    def test_ur10_control_characters_cannot_make_two_replies(self):
        for raw in ("550 no\n250 ok\r\n", "550 a\rb\x1b[31m\x00\x07c\r\n", "550 \xff\xfe\r\n"):
            with self.subTest(raw=raw):
                self.mta.set_rules([{"at": "MAIL", "raw": raw}])
                c = self.ready_client(self.gate)
                reply = c.say("MAIL FROM:<a@x.test>")
                self.assertGreaterEqual(reply.code, 400)
                self.assertRegex(reply.raw, rb"^[\x20-\x7e\x80-\xff\r\n]*$")
                self.assertEqual(reply.raw.count(b"\r"), reply.raw.count(b"\r\n"))
                self.assertTrue(c.quiet(0.2))

    def test_ur19_fewer_replies_than_commands(self):
        self.mta.set_rules([{"at": "RCPT", "match": "r5@", "stall": True}])
        c = self.ready_client(self.gate)
        names = [f"RCPT TO:<r{i}@y.test>\r\n" for i in range(10)]
        c.send("MAIL FROM:<a@x.test>\r\n" + "".join(names) + "DATA\r\n")
        codes = []
        try:
            codes = [c.reply().code for _ in range(12)]
        except (Closed, ConnectionError):
            pass
        self.assertTrue(set(codes[6:]) <= {421, 451, 503}, codes)
        self.assertEqual(self.mta.messages(), [])
        self.check_recovered()

    def test_ft01_silence_after_the_dot_is_451_and_unknown(self):
        self.mta.set_rules([{"at": "DOT", "stall": True, "store": True}])
        start = time.monotonic()
        self.assertIn(dialogue(self.client(self.gate))[-1], (("DOT", 451), ("DOT", 421)))
        self.assertGreater(time.monotonic() - start, 1.5)
        self.assertEqual(self.gate.transactions()[-1]["verdict"], "unknown")
        self.check_recovered()

    def test_an_unsolicited_421_on_a_kept_connection_costs_no_client_anything(self):
        c = self.ready_client(self.gate)
        self.assertEqual(c.message().code, 250)
        self.mta.set_rules([{"at": "MAIL", "reply": "421 4.3.2 too long here", "close": True, "times": 1}])
        self.assertEqual(c.message().code, 250)
        self.assertEqual(len(self.mta.messages()), 2)

    def test_a_kept_connection_that_died_costs_no_client_anything(self):
        for rule in ({"silent": True, "close": True}, {"silent": True, "reset": True}):
            with self.subTest(rule=rule):
                self.mta.set_rules([])
                self.assertEqual(self.ready_client(self.gate).message().code, 250)
                self.mta.set_rules([{"at": "MAIL", "times": 1, **rule}])
                self.assertEqual(self.ready_client(self.gate).message().code, 250)

    def test_ur25_a_flood_of_replies_ends_that_connection_only(self):
        self.mta.set_rules([{"at": "MAIL", "extra": "250 flood\r\n" * 20000}])
        self.assertNotEqual(dialogue(self.client(self.gate))[-1], ("DOT", 250))
        self.check_recovered()

    def test_endless_reply_is_bounded(self):
        self.mta.set_rules([{"at": "MAIL", "raw": "250-more\r\n" * 200000}])
        step, code = dialogue(self.client(self.gate))[-1]
        self.assertEqual(step, "MAIL")
        self.assertIn(code, TEMPORARY)
        self.check_recovered()

    def test_one_overlong_reply_line_is_bounded(self):
        self.mta.set_rules([{"at": "MAIL", "raw": "250 " + "x" * 1000000 + "\r\n"}])
        self.assertIn(dialogue(self.client(self.gate))[-1][1], TEMPORARY + (250,))
        self.check_recovered()


class Greetings(Case):
    strict_sink = False

    def test_ur11_ur13_bad_greetings_and_ehlo(self):
        cases = {
            "554": {"at": "CONNECT", "reply": "554 5.7.1 no", "close": True},
            "421": {"at": "CONNECT", "reply": "421 4.3.2 busy", "close": True},
            "closes": {"at": "CONNECT", "silent": True, "close": True},
            "220 and FIN": {"at": "CONNECT", "close": True},
            "http": {"at": "CONNECT", "raw": "HTTP/1.1 400 Bad Request\r\n\r\n", "close": True},
            "TLS alert": {"at": "CONNECT", "raw": "\x15\x03\x01\x00\x02\x02\x46"},
            "silence": {"at": "CONNECT", "stall": True},
            "EHLO closes": {"at": "EHLO", "silent": True, "close": True},
            "EHLO 354": {"at": "EHLO", "reply": "354 what"},
        }
        for name, rule in cases.items():
            with self.subTest(name):
                sink = self.sink(rules=[rule])
                p = self.postern(sink, timeouts={"upstream_greeting": "1s", "upstream_command": "1s"},
                                 upstreams={"mta": {"probe": "500ms"}})
                step, code = dialogue(self.client(p))[-1]
                self.assertIn(step, ("greeting", "MAIL"))
                self.assertIn(code, (421, 451, 554))
                sink.set_rules([])
                net.wait_until(lambda: dialogue(self.client(p))[-1] == ("DOT", 250), 15, "recovery", 0.2)
                p.stop()

    def test_ur13_upstream_that_knows_helo_only(self):
        sink = self.sink(rules=[{"at": "EHLO", "reply": "502 5.5.1 what?"}])
        p = self.postern(sink)
        c = self.client(p)
        self.assertFalse({"SIZE", "DSN", "SMTPUTF8", "8BITMIME"} & set(c.hello()) - {"SIZE"})
        self.assertEqual(c.message().code, 250)

    def test_multi_line_greeting(self):
        p = self.postern(self.sink(rules=[{"at": "CONNECT", "reply": "220 a\nb\nc"}]))
        self.assertEqual(self.ready_client(p).message().code, 250)


class Faults(Case):
    def test_ft05_no_upstream(self):
        p = self.postern(net.free_port(), timeouts={"upstream_connect": "1s"})
        step, code = dialogue(self.client(p))[-1]
        self.assertIn((step, code), (("greeting", 421), ("MAIL", 451), ("MAIL", 421)))

    def test_ft05_upstream_that_does_not_answer_syns(self):
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            held = [socket.socket() for _ in range(4)]
            for s in held:
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", port))
            p = self.postern(port, timeouts={"upstream_connect": "1s", "upstream_greeting": "1s"})
            c = self.client(p)
            self.assertIn(dialogue(c)[-1][1], (421, 451))
            for s in held:
                s.close()

    def test_ft06_the_next_server_is_taken(self):
        sink = self.sink()
        p = self.postern(sink, upstreams={"mta": {"servers": [f"127.0.0.1:{net.free_port()}",
                                                              f"127.0.0.1:{sink.port}"]}})
        net.wait_until(lambda: dialogue(self.client(p))[-1] == ("DOT", 250), 10, "the second server")

    def test_ft08_client_half_closes_behind_the_dot_and_quit(self):
        sink = self.sink(delay=0.3)
        p = self.postern(sink)
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(CONTENT + ".\r\nQUIT\r\n")
        c.socket.shutdown(socket.SHUT_WR)
        self.assertEqual([c.reply().code, c.reply().code], [250, 221])
        self.assertTrue(c.at_eof())

    def test_ft09_client_leaves_with_rst_in_content(self):
        sink = self.sink()
        p = self.postern(sink)
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(CONTENT * 1000)
        c.reset()
        self.assertEqual(p.transactions()[-1]["verdict"], "aborted")
        self.assertEqual(sink.messages(), [])

    def test_ft11_two_of_three_recipients_then_refused(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.say("MAIL FROM:<a@x.test>", 250)
        codes = [c.say(f"RCPT TO:<{r}@y.test>").code for r in ("b", "refuse550", "data554")]
        self.assertEqual(codes, [250, 550, 250])
        c.say("DATA", 354)
        self.assertEqual(str(c.content(CONTENT)), "554 5.7.0 As asked by <data554@y.test>")
        self.assertEqual(sink.messages(), [])

    def test_client_gone_before_the_outcome_is_logged_as_undelivered(self):
        sink = self.sink(delay=0.5)
        p = self.postern(sink)
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(CONTENT + ".\r\n")
        net.wait_until(lambda: any(k.content_seen for k in sink.conversations), 5, "content at the sink")
        c.reset()
        line = p.transactions()[-1]
        self.assertEqual((line["verdict"], line.get("undelivered")), ("accepted", "yes"), line)
        self.assertEqual(len(sink.messages()), 1)

    def test_client_gone_before_the_end_was_released_loses_it(self):
        sink = self.sink(rules=[{"at": "DATA", "delay": 1.0}])
        p = self.postern(sink)
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        c.send(CONTENT + ".\r\n")
        time.sleep(0.3)
        c.reset()
        self.assertEqual(p.transactions()[-1]["verdict"], "aborted")
        time.sleep(1)
        self.assertEqual(sink.messages(), [])

    def test_ft10_slow_upstream_does_not_stall_others(self):
        slow, fast = self.sink(read_pause=0.05), self.sink()
        p = self.postern(slow, listeners={"main": listener(), "fast": listener(upstream="quick")},
                         upstreams={"quick": {"servers": [f"127.0.0.1:{fast.port}"]}})
        big = self.ready_client(p, timeout=60)
        big.envelope()
        big.say("DATA", 354)
        done = []
        thread = threading.Thread(target=lambda: done.append(big.content("x" * 70 + "\r\n" + CONTENT * 150000).code))
        thread.start()
        while thread.is_alive():
            start = time.monotonic()
            with self.client(p, "fast") as canary:
                canary.hello()
                self.assertEqual(canary.message().code, 250)
            self.assertLess(time.monotonic() - start, 1.0)
        thread.join()
        self.assertEqual(done, [250])

    def test_a_slow_client_does_not_idle_the_upstream(self):
        sink = self.sink()
        p = self.postern(sink, timeouts={"upstream_idle": "200ms"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        for _ in range(10):
            c.send(b"line\r\n")
            time.sleep(0.15)
        c.send(b".\r\n")
        c.expect(250)
        self.assertGreaterEqual(sum(line == "NOOP" for line in sink.commands()), 2, sink.commands())

    def test_upstream_connections_are_reused_and_clean(self):
        sink = self.sink()
        p = self.postern(sink)
        before = self.connections_after_probe(sink)
        for i in range(10):
            with self.client(p) as c:
                c.hello()
                self.assertEqual(c.message(f"s{i}@x.test").code, 250)
                if i % 2:
                    c.say("MAIL FROM:<left@x.test>", 250)
                    c.say("RCPT TO:<left@y.test>", 250)
                c.quit()
        self.assertEqual([m.sender for m in sink.messages()], [f"s{i}@x.test" for i in range(10)])
        self.assertEqual({tuple(m.recipients) for m in sink.messages()}, {("b@y.test",)})
        self.assertLess(sink.connections - before, 6)


if __name__ == "__main__":
    unittest.main()
