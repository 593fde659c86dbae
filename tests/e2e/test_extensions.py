# SPDX-License-Identifier: MIT
"""Extensions, questions beside mail, exceptions for networks, and the limits that end a session: through the daemon."""
import select
import socket
import time
import unittest

from tests.support.case import Case, certificate_settings, certificates
from tests.support.client import CONTENT, Closed

USUAL = ("SIZE", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN")
DELIVERY = ("REQUIRETLS", "DELIVERBY 240", "MT-PRIORITY STANAG4406", "FUTURERELEASE 86400 2030-01-01T00:00:00Z")
PARAMETERS = "REQUIRETLS BY=120;RT MT-PRIORITY=-3 HOLDFOR=60"


class Delivery(Case):
    def gate(self, sink, verify, **more):
        pair = {"tls": "starttls", "certificate": "main", **more}
        return self.postern(sink, listeners={"main": pair}, certificates=certificate_settings(main=certificates().good),
                            upstreams={"mta": {"tls": "required", "verify": verify}})

    def verified(self):
        return {"name": "mail.example.org", "ca": certificates().ca.certificate}

    def secured(self, gate):
        c = self.ready_client(gate)
        c.starttls()
        return c, c.ehlo()

    def test_over_tls_on_both_legs(self):
        sink = self.tls_sink(extensions=(*USUAL, *DELIVERY))
        gate = self.gate(sink, self.verified())
        clear = self.client(gate).hello()
        self.assertNotIn("REQUIRETLS", clear)
        self.assertEqual(clear["DELIVERBY"], "240")
        c, offer = self.secured(gate)
        self.assertEqual({k: offer.get(k) for k in ("REQUIRETLS", "DELIVERBY", "MT-PRIORITY", "FUTURERELEASE")},
                         {"REQUIRETLS": "", "DELIVERBY": "240", "MT-PRIORITY": "STANAG4406",
                          "FUTURERELEASE": "86400 2030-01-01T00:00:00Z"})
        c.say(f"MAIL FROM:<a@x.test> {PARAMETERS}", 250)
        c.say("RCPT TO:<b@y.test>", 250)
        c.say("DATA", 354)
        self.assertEqual(c.content(CONTENT).code, 250)
        kept = self.only_message(sink).envelope
        self.assertEqual(sorted(kept["sender_parameters"]), sorted(PARAMETERS.split()))
        self.assertTrue(kept["tls"])

    def test_requiretls_is_not_promised_for_a_server_that_nobody_verified(self):
        sink = self.tls_sink(extensions=(*USUAL, *DELIVERY))
        c, offer = self.secured(self.gate(sink, False))
        self.assertNotIn("REQUIRETLS", offer)
        self.assertEqual(str(c.say("MAIL FROM:<a@x.test> REQUIRETLS"))[:10], "550 5.7.30")
        self.assertEqual(c.message().code, 250)

    def test_what_was_not_offered_is_555(self):
        c = self.ready_client(self.postern(self.sink()))
        for parameter in (*PARAMETERS.split()[1:], "HOLDUNTIL=2029-01-01T00:00:00Z", "X-OURS=1"):
            with self.subTest(parameter):
                self.assertEqual(c.say(f"MAIL FROM:<a@x.test> {parameter}").code, 555)
        self.assertEqual(c.message().code, 250)


class Limits(Case):
    def test_ours_alone(self):
        offer = self.ready_offer(self.postern(self.sink(), limits={"recipients": 100, "transactions": 7}))
        self.assertEqual(offer["LIMITS"], "RCPTMAX=100 MAILMAX=7")

    def ready_offer(self, gate):
        return self.client(gate).hello()

    def test_the_smaller_of_both(self):
        sink = self.sink(extensions=(*USUAL, "LIMITS MAILMAX=2 RCPTMAX=5000 RCPTDOMAINMAX=3"))
        gate = self.postern(sink)
        self.assertEqual(self.ready_offer(gate)["LIMITS"], "RCPTMAX=1000 MAILMAX=2 RCPTDOMAINMAX=3")
        before = self.connections_after_probe(sink)
        for _ in range(4):
            with self.client(gate) as c:
                c.hello()
                self.assertEqual(c.message().code, 250)
                c.quit()
        used = [sum(line.startswith("MAIL") for line in c.commands) for c in list(sink.conversations)]
        self.assertLessEqual(max(used), 2, "a kept connection was used beyond its MAILMAX")
        self.assertLess(sink.connections - before, 4, "none was kept")

    def test_commands(self):
        gate = self.postern(self.sink(), limits={"commands": 5})
        c = self.ready_client(gate)
        for _ in range(4):
            c.say("NOOP", 250)
        self.assertEqual(str(c.say("NOOP"))[:9], "421 4.7.0")
        self.assertTrue(c.at_eof())
        gate.wait_log("too_many_commands")

    def test_reply_of_an_upstream(self):
        lines = "\n".join(f"line {i}" for i in range(20))
        sink = self.sink(rules=[{"at": "RCPT", "reply": f"250 {lines}", "times": 1}])
        c = self.ready_client(self.postern(sink, limits={"reply_lines": 10}))
        c.say("MAIL FROM:<a@x.test>", 250)
        self.assertEqual(str(c.say("RCPT TO:<b@y.test>"))[:9], "451 4.3.0")
        c.say("RSET", 250)
        self.assertEqual(c.message().code, 250)

    def test_line_flood(self):
        gate = self.postern(self.sink(), limits={"line_flood": "16KiB"})
        c = self.ready_client(gate)
        c.send("x" * 15000 + "\r\n")
        c.expect(500)
        c.send("x" * 20000)
        c.expect(500)
        self.assertTrue(c.at_eof())


class Questions(Case):
    def gate(self, sink, **policies):
        return self.postern(sink, listeners={"main": policies})

    def test_relayed(self):
        rules = [{"at": "EXPN", "reply": "250 a <a@x.test>\nb <b@x.test>"}, {"at": "ETRN", "reply": "250 2.0.0 Queued"}]
        sink = self.sink(extensions=(*USUAL, "VRFY", "EXPN", "ETRN"), rules=rules)
        c = self.client(self.gate(sink, vrfy="relay", expn="relay", etrn="relay"))
        offer = c.hello()
        self.assertTrue({"VRFY", "EXPN", "ETRN"} <= set(offer))
        before = self.connections_after_probe(sink)
        for _ in range(3):
            self.assertEqual(str(c.say("VRFY b@y.test")), "252 2.1.5 Send some mail, I'll try my best")
            self.assertEqual(str(c.say("EXPN list")), "250 a <a@x.test>\nb <b@x.test>")
            self.assertEqual(c.say("ETRN x.test").code, 250)
        self.assertLessEqual(sink.connections - before, 1, "each question had a connection of its own")
        self.assertEqual(c.say("ETRN '); DROP TABLE x").code, 501)
        self.assertEqual(c.message().code, 250)
        self.assertFalse(any("DROP" in line for line in sink.commands()))

    def test_refused_and_answered(self):
        sink = self.sink(extensions=(*USUAL, "VRFY", "EXPN", "ETRN"))
        c = self.client(self.gate(sink))
        self.assertFalse({"VRFY", "EXPN", "ETRN"} & set(c.hello()))
        codes = [c.say(line).code for line in ("VRFY a", "EXPN a", "ETRN a", "TURN", "ATRN", "BURL x", "XCLIENT A=1")]
        self.assertEqual(codes, [252, 502, 502, 502, 502, 502, 502])
        refusing = self.ready_client(self.gate(sink, vrfy="refuse"))
        self.assertEqual(refusing.say("VRFY a").code, 502)
        self.assertFalse(any(line[:4] in ("VRFY", "EXPN", "ETRN") for line in sink.commands()))

    def test_without_a_server(self):
        sink = self.sink()
        c = self.ready_client(self.gate(sink, vrfy="relay"))
        sink.stop()
        self.assertEqual(str(c.say("VRFY a"))[:9], "451 4.3.2")
        c.say("NOOP", 250)


class Time(Case):
    def gate(self, **timeouts):
        limits = {"errors": 100000, "junk_commands": 1000000, "data_rate": "1000"}
        return self.postern(self.sink(), limits=limits, timeouts=timeouts)

    def until_closed(self, step, seconds=8.0):
        """Seconds until the connection is closed, doing `step` again and again."""
        began = time.monotonic()
        try:
            while time.monotonic() - began < seconds:
                step()
                time.sleep(0.1)
        except (Closed, ConnectionError):
            pass
        return time.monotonic() - began

    def test_re05_a_command_that_dribbles_in(self):
        c = self.ready_client(self.gate(command="1s"))
        c.socket.setblocking(False)

        def step():
            c.send("N")
            try:
                if c.socket.recv(100) == b"":
                    raise Closed
            except BlockingIOError:
                pass

        self.assertLess(self.until_closed(step), 4)

    def test_slow_content(self):
        c = self.ready_client(self.gate(content="1s"))
        c.envelope()
        c.say("DATA", 354)
        began = time.monotonic()
        for _ in range(80):
            c.send("x" * 18 + "\r\n")
            if select.select([c.socket], [], [], 0.1)[0]:
                break
        self.assertEqual(str(c.reply())[:20], "421 4.4.2 Too little")
        self.assertTrue(0.9 < time.monotonic() - began < 5)

    def test_content_that_is_fast_enough(self):
        c = self.ready_client(self.gate(content="1s"))
        c.envelope()
        c.say("DATA", 354)
        for _ in range(15):
            c.send("x" * 298 + "\r\n")
            time.sleep(0.2)
        self.assertEqual(c.content("").code, 250)

    def test_re07_a_client_that_never_reads(self):
        gate = self.gate(command="1s")
        c = socket.socket()
        self.addCleanup(c.close)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(("127.0.0.1", gate.port))
        c.settimeout(0.2)
        c.sendall(b"EHLO me\r\n")
        time.sleep(0.3)
        c.sendall(b"MAIL FROM:<a@x.test>\r\n")

        def step():
            try:
                for _ in range(20):
                    c.sendall(b"RCPT TO:<b@y.test>\r\n" * 2000)
            except TimeoutError:
                pass

        self.assertLess(self.until_closed(step, 60), 45)
        with self.client(gate) as canary:
            canary.hello()
            self.assertEqual(canary.message().code, 250)


if __name__ == "__main__":
    unittest.main()
