# SPDX-License-Identifier: MIT
"""TLS on both legs: every kind of listener, every kind of upstream, good and bad certificates."""
import contextlib
import os
import socket
import ssl
import time
import unittest

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.client import Closed, Smtp, trusting


def verifying():
    return ssl.create_default_context(cafile=certificates().ca.certificate)


class Listeners(Case):
    def gate(self, sink=None, **kinds):
        certs = certificates()
        kinds = kinds or {"starttls": {}, "required": {}, "implicit": {}}
        listeners = {"main": None}
        for name, more in kinds.items():
            listeners[name] = listener(**{"tls": name, "certificate": "good", **more})
        return self.postern(sink or self.sink(), listeners=listeners,
                            certificates=certificate_settings(good=certs.good, second=certs.second))

    def test_starttls(self):
        sink = self.sink()
        p = self.gate(sink)
        c = self.client(p, "starttls", context=verifying(), name="mail.example.org")
        self.assertIn("STARTTLS", c.hello())
        c.starttls()
        self.assertNotIn("STARTTLS", c.ehlo())
        self.assertEqual(c.message().code, 250)
        c.quit()
        self.assertTrue(any("TLSv1.3" in v for v in p.transactions()[0].values()))

    def test_starttls_is_an_offer_only(self):
        self.assertEqual(self.ready_client(self.gate(), listener="starttls").message().code, 250)

    def test_required(self):
        c = self.client(self.gate(), "required")
        self.assertIn("STARTTLS", c.hello())
        for command in ("MAIL FROM:<a@x.test>", "VRFY x", "HELP"):
            self.assertIn("5.7.0", c.say(command, 530).text)
        for command in ("NOOP", "RSET"):
            c.say(command, 250)
        c.starttls()
        c.ehlo()
        self.assertEqual(c.message().code, 250)

    def test_implicit(self):
        c = self.client(self.gate(), "implicit", tls=True, context=verifying(), name="mail.example.org")
        self.assertNotIn("STARTTLS", c.hello())
        c.say("STARTTLS", 50)
        self.assertEqual(c.message().code, 250)
        c.quit()

    def test_plain_text_on_an_implicit_listener_is_never_answered(self):
        p = self.gate()
        with socket.create_connection(("127.0.0.1", p.listener_port("implicit"))) as s:
            s.sendall(b"EHLO x\r\nQUIT\r\n")
            s.settimeout(10)
            got = b""
            with contextlib.suppress(ConnectionError):
                while data := s.recv(4096):
                    got += data
        self.assertNotIn(b"220", got)
        self.assertNotIn(b"250", got)

    def test_certificate_by_sni(self):
        p = self.gate(starttls={"certificate": ["good", "second"]})
        cases = (("mail.example.org", "mail.example.org"), ("other.example.org", "other.example.org"),
                 ("unheard.example.org", "mail.example.org"), (None, "mail.example.org"))
        for asked, got in cases:
            with self.subTest(asked=asked):
                context = verifying()
                context.check_hostname = False
                c = self.client(p, "starttls", context=context, name=asked)
                c.hello()
                c.starttls()
                names = [v for k, v in c.socket.getpeercert()["subjectAltName"] if k == "DNS"]
                self.assertIn(got, names)

    def test_injected_plain_text_is_not_taken(self):
        """Bytes behind STARTTLS in the same segment must never be read as commands inside TLS."""
        sink = self.sink()
        p = self.gate(sink)
        for injected in (b"NOOP\r\n", b"MAIL FROM:<evil@x.test>\r\n", b"RSET\r\n" * 20):
            with self.subTest(injected=injected):
                c = self.client(p, "starttls")
                c.hello()
                c.send(b"STARTTLS\r\n" + injected)
                with contextlib.suppress(Closed, ConnectionError, ssl.SSLError, AssertionError):
                    if c.reply().code == 220:
                        self.assertEqual(c.buffer, b"")
                        c.handshake()
                        c.say("EHLO again", 250)
                        self.assertTrue(c.quiet(0.3))
                        c.say("RCPT TO:<b@y.test>", 503)
        self.assertFalse(any("evil" in line for line in sink.commands()))

    def test_starttls_forgets_what_came_before(self):
        c = self.client(self.gate(), "starttls")
        c.hello()
        c.say("MAIL FROM:<a@x.test>", 250)
        c.say("STARTTLS", 503)  # not within a transaction
        c.say("RSET", 250)
        c.starttls()
        c.say("RCPT TO:<b@y.test>", 503)
        c.say("MAIL FROM:<a@x.test>", 503)
        c.ehlo()
        self.assertEqual(c.message().code, 250)
        c.say("STARTTLS", 50)

    def test_starttls_with_argument(self):
        c = self.client(self.gate(), "starttls")
        c.hello()
        c.say("STARTTLS now", 501)
        self.assertEqual(c.message().code, 250)

    def test_not_offered_without_certificate(self):
        c = self.client(self.postern(self.sink()))
        self.assertNotIn("STARTTLS", c.hello())
        self.assertGreaterEqual(c.say("STARTTLS").code, 400)
        self.assertEqual(c.message().code, 250)

    def test_plain_text_after_220_is_not_answered(self):
        c = self.client(self.gate(), "starttls")
        c.hello()
        c.say("STARTTLS", 220)
        c.send(b"EHLO again\r\nEHLO again\r\n")
        got = b""
        with contextlib.suppress(ConnectionError):
            while data := c.socket.recv(4096):
                got += data
        self.assertNotIn(b"250", got)

    def test_handshake_deadline(self):
        certs = certificates()
        p = self.postern(self.sink(), timeouts={"tls_handshake": "1s"},
                         certificates=certificate_settings(good=certs.good),
                         listeners={"main": listener(tls="implicit", certificate="good")})
        c = self.client(p)
        self.assertTrue(c.at_eof(10))

    def test_old_protocols_are_refused(self):
        p = self.gate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.client(p, "implicit", tls=True, context=context)

    def test_alpn(self):
        p = self.gate()
        for offered, good in ((["smtp"], True), (["http/1.1"], False), ([], True)):
            with self.subTest(offered=offered):
                context = verifying()
                if offered:
                    context.set_alpn_protocols(offered)
                connect = lambda: Smtp(p.listener_port("implicit"), tls=True, context=context, name="mail.example.org")
                if good:
                    with connect() as c:
                        c.hello()
                        self.assertEqual(c.socket.selected_alpn_protocol(), offered[0] if offered else None)
                else:
                    with self.assertRaises((ssl.SSLError, ConnectionError)):
                        connect()

    def test_sessions_are_resumed(self):
        p = self.gate()
        context = verifying()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # the session is known right after the handshake
        port = p.listener_port("implicit")
        with socket.create_connection(("127.0.0.1", port)) as raw:
            with context.wrap_socket(raw, server_hostname="mail.example.org") as first:
                session = first.session
        with socket.create_connection(("127.0.0.1", port)) as raw:
            with context.wrap_socket(raw, server_hostname="mail.example.org", session=session) as second:
                self.assertTrue(second.session_reused)

    def test_end_of_tcp_inside_content_is_not_an_end_of_the_message(self):
        sink = self.sink()
        c = self.client(self.gate(sink), "implicit", tls=True)
        c.hello()
        c.envelope()
        c.say("DATA", 354)
        c.send(b"Subject: cut\r\n\r\nhalf")
        socket.socket.shutdown(c.socket, socket.SHUT_WR)
        c.close()
        with self.client(self.gate(sink), "starttls") as canary:
            canary.hello()
            self.assertEqual(canary.message().code, 250)
        self.assertEqual(len(sink.messages()), 1)


class Upstreams(Case):
    def through(self, sink, tls, port=None, **verify):
        settings = {"servers": [f"127.0.0.1:{port or sink.port}"], "tls": tls}
        settings["verify"] = verify or False
        return self.postern(sink, upstreams={"mta": settings})

    def verified(self, **more):
        return {"name": "mail.example.org", "ca": certificates().ca.certificate, **more}

    def test_opportunistic(self):
        for sink, tls in ((self.tls_sink(), "TLSv1.3"), (self.sink(), None)):
            with self.subTest(tls=tls):
                c = self.ready_client(self.through(sink, "opportunistic"))
                self.assertEqual(c.message().code, 250)
                self.assertEqual(self.only_message(sink).envelope["tls"], tls)

    def test_opportunistic_takes_any_certificate(self):
        certs = certificates()
        for name in ("wrong_name", "self_signed", "expired", "not_yet"):
            with self.subTest(name=name):
                sink = self.tls_sink(getattr(certs, name))
                self.assertEqual(self.ready_client(self.through(sink, "opportunistic")).message().code, 250)
                self.assertEqual(self.only_message(sink).envelope["tls"], "TLSv1.3")

    def test_required_and_verified(self):
        sink = self.tls_sink()
        c = self.ready_client(self.through(sink, "required", **self.verified()))
        self.assertEqual(c.message().code, 250)
        kept = self.only_message(sink).envelope
        self.assertEqual((kept["tls"], kept["sni"]), ("TLSv1.3", "mail.example.org"))

    def refused(self, p, sink):
        """Nothing goes to this upstream: 421 as greeting, or 4xx at MAIL at the latest."""
        c = self.client(p)
        reply = c.reply()
        if reply.code == 220:
            c.ehlo()
            reply = c.say("MAIL FROM:<a@x.test>")
            if reply.code == 250:
                reply = c.say("RCPT TO:<b@y.test>")
        self.assertEqual(reply.code // 100, 4, reply)
        self.assertEqual(sink.messages(), [])
        self.assertFalse(any(line.startswith("MAIL") for line in sink.commands()))

    def test_bad_certificates_are_4xx(self):
        certs = certificates()
        for name in ("wrong_name", "self_signed", "expired", "not_yet"):
            for tls in ("required", "implicit"):
                with self.subTest(name=name, tls=tls):
                    sink = self.tls_sink(getattr(certs, name))
                    port = sink.tls_port if tls == "implicit" else sink.port
                    p = self.through(sink, tls, port, **self.verified())
                    self.refused(p, sink)
                    p.wait_log("(?i)certificate")

    def test_required_but_not_offered_is_4xx(self):
        sink = self.sink()
        self.refused(self.through(sink, "required"), sink)

    def test_starttls_refused_is_4xx_where_required(self):
        sink = self.tls_sink(rules=[{"at": "STARTTLS", "reply": "454 4.7.0 Not now"}])
        self.refused(self.through(sink, "required"), sink)

    def test_implicit(self):
        sink = self.tls_sink()
        c = self.ready_client(self.through(sink, "implicit", sink.tls_port, **self.verified()))
        self.assertEqual(c.message().code, 250)
        self.assertEqual(self.only_message(sink).envelope["tls"], "TLSv1.3")

    def test_response_injected_before_tls_is_not_believed(self):
        """What the upstream says in the clear behind its 220 must not count inside TLS."""
        sink = self.tls_sink(rules=[{"at": "STARTTLS", "extra": "250 injected\r\n"}])
        self.refused(self.through(sink, "required"), sink)

    def test_what_counts_is_offered_inside_tls(self):
        sink = self.tls_sink(rules=[{"at": "EHLO", "reply": "250 sink\nSTARTTLS\nDSN", "times": 1},
                                    {"at": "EHLO", "reply": "250 sink\nSIZE 1000\nSMTPUTF8", "times": 1}])
        p = self.through(sink, "required")
        offered = net.wait_until(lambda: self.offer(p), 10, "a greeting")
        self.assertIn("SMTPUTF8", offered)
        self.assertNotIn("DSN", offered)

    def offer(self, p):
        c = self.client(p)
        return c.ehlo() if c.reply().code == 220 else None

    def test_sessions_with_the_upstream_are_resumed(self):
        sink = self.tls_sink()
        p = self.postern(sink, upstreams={"mta": {"tls": "required", "verify": self.verified(), "keep": 0}})
        for _ in range(4):
            with self.client(p) as c:
                c.hello()
                self.assertEqual(c.message().code, 250)
                c.quit()
        self.assertTrue(any(c.resumed for c in sink.conversations))


def client_hello():
    """The first message of a handshake, as a client that stalls behind it has sent it."""
    out = ssl.MemoryBIO()
    connection = trusting().wrap_bio(ssl.MemoryBIO(), out)
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return out.read()


class Floods(Case):
    """Handshakes that cost and lead nowhere: each has its deadline, and nobody else notices (TL-09, O4)."""

    PATIENCE = 2.0  # for a canary; one second in peace, on a machine that does nothing else

    def gate(self, deadline="2s"):
        certs = certificates()
        listeners = {kind: listener(tls=kind, certificate="good") for kind in ("implicit", "starttls")}
        return self.postern(self.sink(), listeners=listeners, timeouts={"tls_handshake": deadline},
                            certificates=certificate_settings(good=certs.good))

    def canary(self, p):
        before = time.monotonic()
        with self.client(p, "implicit", tls=True) as c:
            c.hello()
            self.assertEqual(c.message().code, 250)
            c.quit()
        self.assertLess(time.monotonic() - before, self.PATIENCE)

    def strangers(self, p, count, kind="implicit"):
        for _ in range(count):
            s = self.stack.enter_context(socket.create_connection(("127.0.0.1", p.listener_port(kind)), 10))
            yield s

    def descriptors(self, p):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in p.workers())

    def gone(self, sockets, seconds=10):
        """All of them have been closed by the server."""
        end = time.monotonic() + seconds
        for s in sockets:
            s.settimeout(max(0.1, end - time.monotonic()))
            with contextlib.suppress(ConnectionError):
                while s.recv(65536):
                    pass

    def test_who_stalls_is_gone_at_the_deadline(self):
        hello = client_hello()
        p = self.gate()
        self.canary(p)
        before = self.descriptors(p)
        for first in (b"", hello[:1], hello[:60], hello, hello + b"\x14\x03\x03\x00\x01\x01"):
            with self.subTest(sent=len(first)):
                start = time.monotonic()
                stalled = list(self.strangers(p, 60))
                for s in stalled:
                    s.sendall(first)
                self.canary(p)
                self.gone(stalled)
                self.assertLess(time.monotonic() - start, 2 + 2 * self.PATIENCE)
        net.wait_until(lambda: self.descriptors(p) <= before, 5, "the descriptors to come back")
        net.wait_until(lambda: len(p.log_lines("not finished in time")) == 5 * 60, 5, "a line for each")

    def test_flood_of_hellos(self):
        """Hundreds at once, each of which makes the server sign: others are served in between."""
        hello = client_hello()
        p = self.gate("1s")
        for _ in range(3):
            flood = list(self.strangers(p, 150))
            for s in flood:
                s.sendall(hello)
            self.canary(p)
            for s in flood:
                s.close()
        self.canary(p)

    def test_trickled_hello(self):
        """A byte now and then does not move the deadline."""
        p = self.gate("1s")
        s = next(self.strangers(p, 1))
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in client_hello():
                s.sendall(bytes([byte]))
                time.sleep(0.02)
        self.assertLess(time.monotonic() - start, 1 + self.PATIENCE)

    def test_hello_in_the_segment_of_starttls(self):
        """Such a client did not wait for 220: it is told so, and its hello is neither lost nor taken (TL-25)."""
        p = self.gate()
        c = self.client(p, "starttls")
        c.hello()
        c.send(b"STARTTLS\r\n" + client_hello())
        c.expect(554)
        self.assertTrue(c.at_eof())
        self.canary(p)


if __name__ == "__main__":
    unittest.main()
