# SPDX-License-Identifier: MIT
"""What TLS is worth: oldest versions, certificates of clients, pinned keys, tickets, and `tls: mirror`."""
import ssl
import time
import unittest

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.client import Smtp, trusting
from tests.support.daemon import merge


class ResumingSmtp(Smtp):
    """A client that may come back with an old session."""

    def __init__(self, port, session=None, **options):
        self.old = session
        super().__init__(port, **options)

    def handshake(self):
        self.socket = self.context.wrap_socket(self.socket, server_hostname=self.name, session=self.old)


def showing(pair):
    """A client context that trusts everybody and shows this certificate."""
    context = trusting()
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


class PolicyCase(Case):
    def gate(self, sink=None, upstream=None, workers=1, more=None, **settings):
        """One listener `tls`; settings are laid over it."""
        certs = certificates()
        pairs = certificate_settings(good=certs.good, second=certs.second, client=certs.client)
        self.sink_in_use = sink or self.sink()
        return self.postern(self.sink_in_use, workers=workers, certificates=pairs,
                            listeners={"main": None,
                                       "tls": listener(**{"tls": "starttls", "certificate": "good", **settings})},
                            upstreams={"mta": upstream or {}}, **(more or {}))

    def secured(self, p, context=None, **options):
        c = self.stack.enter_context(ResumingSmtp(p.listener_port("tls"), context=context or trusting(), **options))
        c.hello()
        c.starttls()
        c.ehlo()
        return c

    def refused_handshake(self, p, context):
        """The server ends it; with TLS 1.3 the client notices at its first read."""
        with self.assertRaises((ssl.SSLError, ConnectionError, AssertionError)) as raised:
            self.secured(p, context)
        self.assertNotIsInstance(raised.exception, TimeoutError)


class Versions(PolicyCase):
    def test_listener(self):
        p = self.gate(tls_min="1.3")
        self.assertEqual(self.secured(p).socket.version(), "TLSv1.3")
        old = trusting()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        self.refused_handshake(p, old)
        p.wait_log("unsupported protocol")

    def test_upstream(self):
        sink = self.tls_sink()
        sink.options.context.maximum_version = ssl.TLSVersion.TLSv1_2
        p = self.gate(sink, {"tls": "required", "verify": False})
        self.assertEqual(self.secured(p).message().code, 250)
        self.assertEqual(self.only_message(sink).envelope["tls"], "TLSv1.2")
        p = self.gate(sink, {"tls": "required", "verify": False, "tls_min": "1.3"})
        self.client(p, "tls").expect(421)


class ClientCertificates(PolicyCase):
    def asking(self, how, **more):
        return self.gate(client_certificate=how, client_ca=certificates().ca.certificate, **more)

    def test_who_comes_in(self):
        certs = certificates()
        good, strange, none = certs.client, certs.self_signed, None
        for how, shown, welcome in (("request", none, True), ("request", good, True), ("request", strange, False),
                                    ("require", none, False), ("require", good, True), ("require", strange, False)):
            with self.subTest(how=how, shown=shown):
                p = self.asking(how)
                if not welcome:
                    self.refused_handshake(p, showing(shown))
                    p.wait_log("event=connection .*(certificate)")
                    self.assertEqual(self.sink_in_use.messages(), [])
                    continue
                c = self.secured(p, showing(shown))
                self.assertEqual(c.message().code, 250)
                seen = p.transactions()[0]
                self.assertEqual(seen.get("client_cert"), "CN=client" if shown else None)
                self.assertEqual(seen.get("client_cert_sha256"), certs.fingerprint(shown) if shown else None)

    def test_an_authority_that_cannot_be_read(self):
        p = self.asking("require")
        for name, why in (("missing.pem", "No such file"), ("postern.yaml", "no PEM certificates")):
            with self.subTest(name=name):
                bad = merge(p.settings, {"listeners": {"tls": {"client_ca": name}}})
                self.assertIn("refused", p.reload(bad))
                p.wait_log(rf"postern.yaml:\d+:\d+: error: .*{name}: {why}")
        self.assertEqual(self.secured(p, showing(certificates().client)).message().code, 250)

    def test_a_server_certificate_is_none_for_clients(self):
        self.refused_handshake(self.asking("request"), showing(certificates().good))

    def test_a_resumed_client_is_still_known(self):
        p = self.asking("require")
        context = showing(certificates().client)
        first = self.secured(p, context)
        again = self.secured(p, context, session=first.socket.session)
        self.assertTrue(again.socket.session_reused)
        self.assertEqual(again.message().code, 250)
        self.assertEqual(p.transactions()[0]["client_cert"], "CN=client")

    def test_a_ticket_without_certificate_opens_no_door(self):
        p = self.asking("request")
        context = trusting()
        session = self.secured(p, context).socket.session
        self.assertTrue(self.secured(p, context, session=session).socket.session_reused)
        session = self.secured(p, context).socket.session
        strict = merge(p.settings, {"listeners": {"tls": {"client_certificate": "require"}}})
        self.assertIn("generation 2", p.reload(strict))
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            c = self.stack.enter_context(
                ResumingSmtp(p.listener_port("tls"), context=context, session=session))
            c.hello()
            c.starttls()
            c.ehlo()


class Upstreams(PolicyCase):
    def through(self, pair, **verify):
        sink = self.tls_sink(pair)
        return sink, self.gate(sink, {"tls": "required", "verify": verify})

    def test_pins(self):
        certs = certificates()
        name, ca = certs.NAME, certs.ca.certificate
        good, own, other = certs.pin(certs.good), certs.pin(certs.self_signed), certs.pin(certs.second)
        for pair, verify, welcome in ((certs.good, {"pin": good}, True),
                                      (certs.good, {"pin": [other, good], "name": name, "ca": ca}, True),
                                      (certs.self_signed, {"pin": own}, True),
                                      (certs.self_signed, {"pin": own, "name": name, "ca": ca}, False),
                                      (certs.good, {"pin": other}, False),
                                      (certs.good, {"pin": other, "name": name, "ca": ca}, False)):
            with self.subTest(verify=verify):
                sink, p = self.through(pair, **verify)
                c = self.client(p, "tls")
                if welcome:
                    c.hello()
                    self.assertEqual(c.message().code, 250)
                else:
                    c.expect(421)
                    p.wait_log("certificate was refused")
                    self.assertFalse(any(line.startswith("MAIL") for line in sink.commands()))

    def test_our_own_certificate(self):
        for own in ("client", None):
            with self.subTest(own=own):
                sink = self.tls_sink()
                sink.options.context.verify_mode = ssl.CERT_REQUIRED
                sink.options.context.load_verify_locations(certificates().ca.certificate)
                p = self.gate(sink, {"tls": "required", "verify": False, **({"certificate": own} if own else {})})
                c = self.client(p, "tls")
                if own:
                    c.hello()
                    self.assertEqual(c.message().code, 250)
                else:
                    c.expect(421)


class Tickets(PolicyCase):
    def session_of(self, p, context):
        return self.secured(p, context).socket.session

    def resumed(self, p, context, session):
        return self.secured(p, context, session=session).socket.session_reused

    def test_workers_and_reloads(self):
        p = self.gate(workers=3)
        context = trusting()
        for turn in range(8):  # whichever worker it is
            self.assertTrue(self.resumed(p, context, self.session_of(p, context)), turn)
        session = self.session_of(p, context)
        self.assertIn("generation 2", p.reload())
        self.assertTrue(self.resumed(p, context, session))

    def test_other_certificates_other_sessions(self):
        p = self.gate()
        context = trusting()
        session = self.session_of(p, context)
        p.reload(merge(p.settings, {"listeners": {"tls": {"certificate": ["good", "second"]}}}))
        self.assertFalse(self.resumed(p, context, session))

    def test_keys_rotate_in_all_workers(self):
        p = self.gate(workers=2, more={"timeouts": {"tls_tickets": "1500ms"}})
        context = trusting()
        old = [self.session_of(p, context) for _ in range(4)]
        time.sleep(1.6)  # one change at least, two at most
        for _ in range(4):
            self.assertTrue(self.resumed(p, context, self.session_of(p, context)))
        time.sleep(3.2)
        self.assertFalse(any(self.resumed(p, context, session) for session in old))
        for _ in range(4):
            self.assertTrue(self.resumed(p, context, self.session_of(p, context)))


class Mirror(PolicyCase):
    def mirror(self, sink, **upstream):
        return self.gate(sink, {"tls": "opportunistic", **upstream}, tls="mirror")

    def test_offered_as_the_upstream_does(self):
        for sink, offered in ((self.tls_sink(), True), (self.sink(), False)):
            with self.subTest(offered=offered):
                c = self.client(self.mirror(sink), "tls")
                self.assertEqual("STARTTLS" in c.hello(), offered)
                if not offered:
                    c.say("STARTTLS", 454)
                self.assertEqual(c.message().code, 250)  # in the clear as the upstream's setting says
                self.assertEqual(bool(self.only_message(sink).envelope["tls"]), offered)

    def test_both_legs_in_tls(self):
        for tls in ("opportunistic", "required", "implicit"):
            with self.subTest(tls=tls):
                sink = self.tls_sink()
                port = sink.tls_port if tls == "implicit" else sink.port
                p = self.mirror(sink, tls=tls, servers=[f"127.0.0.1:{port}"], verify=False)
                c = self.client(p, "tls")
                self.assertIn("STARTTLS", c.hello())
                self.assertEqual(self.secured(p).message().code, 250)
                self.assertEqual(self.only_message(sink).envelope["tls"], "TLSv1.3")

    def test_never_onwards_in_the_clear(self):
        """The server offers TLS and then does not give it: who came in TLS waits, who did not does not."""
        sink = self.tls_sink(users={"alice": "secret"}, rules=[{"at": "STARTTLS", "reply": "454 4.7.0 Not now"}])
        p = self.mirror(sink)
        c = self.secured(p)
        self.assertIn("AUTH", c.ehlo())
        for _ in range(2):
            reply = c.say("MAIL FROM:<a@x.test>", 451)
            self.assertIn("4.7.5", reply.text)
        self.assertEqual(c.login("alice", "secret").code, 451)
        c.say("NOOP", 250)
        self.assertFalse(any(line.startswith(("MAIL", "AUTH")) for line in sink.commands()))
        plain = self.client(p, "tls")
        plain.hello()
        self.assertEqual(plain.message().code, 250)
        sink.set_rules([])  # now it does: also after connections were kept in the clear
        self.assertEqual(c.message().code, 250)
        self.assertEqual([m.envelope["tls"] for m in sink.messages()], [None, "TLSv1.3"])
        refused = [t for t in p.transactions() if t["verdict"] == "deferred"]
        self.assertEqual([(t["code"], t["stage"], "over TLS" in t["reply"]) for t in refused],
                         [("451", "upstream", True)] * 2)

    def test_follows_the_upstream(self):
        sink = self.tls_sink(starttls=False)
        p = self.mirror(sink, probe="100ms", keep=0)
        self.assertNotIn("STARTTLS", self.ready_keywords(p))
        sink.options.starttls = True
        net.wait_until(lambda: "STARTTLS" in self.ready_keywords(p), 10, "STARTTLS", 0.1)

    def ready_keywords(self, p):
        with Smtp(p.listener_port("tls")) as c:
            return c.hello()


class Required(PolicyCase):
    def test_never_falls_back(self):
        """Where opportunistic goes on in the clear, required does not: the handshake itself fails here."""
        for tls, code in (("opportunistic", 250), ("required", 421)):
            with self.subTest(tls=tls):
                sink = self.tls_sink()
                sink.options.context.maximum_version = ssl.TLSVersion.TLSv1_2
                p = self.gate(sink, {"tls": tls, "tls_min": "1.3", "verify": False})
                c = self.client(p, "tls")
                if code == 250:
                    c.hello()
                    self.assertEqual(c.message().code, 250)
                else:
                    c.expect(code)
                    self.assertEqual(sink.messages(), [])


if __name__ == "__main__":
    unittest.main()
