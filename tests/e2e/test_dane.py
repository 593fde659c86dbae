# SPDX-License-Identifier: MIT
"""DANE towards the server: what its TLSA records demand, with a resolver that authenticates them or does not."""
import socket

from tests.support import net
from tests.support.case import Case, certificates
from tests.support.daemon import Postern, config, merge
from tests.support.dns import Dns, tlsa, wire
from tests.support.netns import Network

HOST = "mail.example.org"
MX = "127.0.0.1"


class DaneCase(Case):
    def setUp(self):
        super().setUp()
        self.network = self.stack.enter_context(Network())
        self.dns = self.stack.enter_context(Dns())
        self.dns.add(HOST, "A", socket.inet_aton(MX))

    def name(self, sink, port=None):
        return f"_{port or sink.port}._tcp.{HOST}"

    def record(self, sink, pair, usage=3, selector=1, port=None):
        """A TLSA record for a sink that has the key, or the certificate, of this pair."""
        digest = certificates().pin(pair) if selector else certificates().fingerprint(pair)
        self.dns.add(self.name(sink, port), "TLSA", tlsa(usage, selector, 1, bytes.fromhex(digest)))

    def gate(self, sink, dane, tls="opportunistic", more=None, **upstream):
        settings = config(sink.port, upstreams={"mta": {"servers": [f"{HOST}:{sink.port}"], "tls": tls, "dane": dane,
                                                        **upstream}})
        p = Postern(self.fresh("postern"), merge(settings, more or {}))
        p.prefix = self.dns.prefix(self.folder)
        return self.stack.enter_context(p)

    def taken(self, p, sink, verified=None):
        """A message goes through; within TLS, if it is told whether that was verified by DANE."""
        before = len(sink.messages())
        self.assertEqual(self.ready_client(p).message().code, 250)
        message, = sink.messages()[before:]
        self.assertEqual(message.envelope["tls"] is not None, verified is not None)
        self.assertEqual(p.transactions(before + 1)[before].get("upstream_verified"), "dane" if verified else None)

    def deferred(self, p, sink, why):
        """Nothing reaches the server but what leads to TLS, and the log says why."""
        said = p.wait_log(f"server {HOST}:{sink.port} (fails DANE|cannot be used): .*{why}")
        client = self.client(p)
        self.assertEqual(client.reply().code // 100, 4)
        self.assertFalse([c for c in sink.commands() if c.startswith(("MAIL", "RCPT", "DATA"))])
        return said


class Matching(DaneCase):
    def test_a_key_of_its_own(self):
        """Usage 3: neither the name nor the date nor the authority counts."""
        certs = certificates()
        for dane in ("opportunistic", "required"):
            for pair in (certs.self_signed, certs.expired, certs.wrong_name):
                for tls in ("opportunistic", "required"):
                    with self.subTest(dane=dane, pair=pair, tls=tls):
                        sink = self.tls_sink(pair)
                        self.record(sink, pair)
                        self.taken(self.gate(sink, dane, tls), sink, verified=True)

    def test_within_implicit_tls(self):
        sink = self.tls_sink()
        self.dns.add(f"_{sink.tls_port}._tcp.{HOST}", "TLSA",
                     tlsa(3, 0, 1, bytes.fromhex(certificates().fingerprint(certificates().good))))
        p = self.gate(sink, "required", "implicit", servers=[f"{HOST}:{sink.tls_port}"])
        self.taken(p, sink, verified=True)

    def test_an_authority(self):
        certs = certificates()
        sink = self.tls_sink(certs.chained)
        self.record(sink, certs.ca, usage=2, selector=0)
        self.taken(self.gate(sink, "required"), sink, verified=True)

    def test_an_authority_whose_certificate_has_another_name(self):
        certs = certificates()
        sink = self.tls_sink(certs.with_authority("misnamed", certs.wrong_name))
        self.record(sink, certs.ca, usage=2, selector=0)
        self.deferred(self.gate(sink, "opportunistic"), sink, "hostname mismatch")

    def test_an_alias(self):
        sink = self.tls_sink()
        self.dns.add(self.name(sink), "CNAME", wire("keys.example.net"))
        self.dns.add("keys.example.net", "TLSA",
                     tlsa(3, 1, 1, bytes.fromhex(certificates().pin(certificates().good))))
        self.taken(self.gate(sink, "required"), sink, verified=True)

    def test_the_name_in_verify(self):
        """It is the one that records are sought under; an address may stand for the server then."""
        sink = self.tls_sink(certificates().self_signed)
        self.record(sink, certificates().self_signed)
        p = self.gate(sink, "required", servers=[f"{MX}:{sink.port}"], verify={"name": HOST})
        self.taken(p, sink, verified=True)

    def test_another_key(self):
        certs = certificates()
        for dane in ("opportunistic", "required"):
            for tls in ("opportunistic", "required"):
                with self.subTest(dane=dane, tls=tls):
                    sink = self.tls_sink(certs.good)
                    self.record(sink, certs.second)
                    p = self.gate(sink, dane, tls, verify={"name": HOST, "ca": certs.ca.certificate})
                    said = self.deferred(p, sink, "no matching DANE TLSA records")
                    self.assertIn(f"3 1 1 {certs.pin(certs.second)}", said)
                    self.assertIn(f"shown were 3 0 1 {certs.fingerprint(certs.good)}, 3 1 1 {certs.pin(certs.good)}", said)

    def test_a_server_without_tls(self):
        for usage in (3, 0):  # also when the records are of no use: TLS is a must
            with self.subTest(usage=usage):
                sink = self.sink()
                self.record(sink, certificates().good, usage=usage)
                p = self.gate(sink, "opportunistic")
                said = self.deferred(p, sink, "the server does not offer STARTTLS, which is required")
                self.assertIn(f"TLS is a must by its TLSA records: {usage} 1 1 ", said)


class Missing(DaneCase):
    def test_no_records(self):
        for known in (False, True):  # NXDOMAIN, or a name without TLSA
            with self.subTest(known=known):
                sink = self.tls_sink(certificates().self_signed)
                if known:
                    self.dns.add(self.name(sink), "A", b"\0\0\0\0")
                self.taken(self.gate(sink, "opportunistic"), sink, verified=False)
                sink = self.tls_sink()
                self.deferred(self.gate(sink, "required"), sink, "do not exist, and DANE is required")
        plain = self.sink()
        self.taken(self.gate(plain, "opportunistic"), plain)

    def test_without_records_verify_holds(self):
        sink = self.tls_sink(certificates().self_signed)
        p = self.gate(sink, "opportunistic", "required", verify={"name": HOST, "ca": certificates().ca.certificate})
        p.wait_log("certificate was refused: self-signed")
        self.assertEqual(self.client(p).reply().code, 421)

    def test_records_of_another_port(self):
        sink = self.tls_sink()
        self.record(sink, certificates().second, port=25)
        self.taken(self.gate(sink, "opportunistic"), sink, verified=False)
        sink = self.tls_sink()
        self.deferred(self.gate(sink, "required"), sink, "do not exist")

    def test_not_authenticated(self):
        sink = self.tls_sink()
        self.record(sink, certificates().second)  # would not match
        self.dns.insecure.add(self.name(sink))
        self.taken(self.gate(sink, "opportunistic"), sink, verified=False)
        sink = self.tls_sink()
        self.record(sink, certificates().good)  # would match
        self.dns.insecure.add(self.name(sink))
        self.deferred(self.gate(sink, "required"), sink, "are not authenticated")

    def test_of_no_use(self):
        sink = self.tls_sink(certificates().self_signed)
        for usage in (0, 1):
            self.record(sink, certificates().second, usage=usage)
        self.taken(self.gate(sink, "opportunistic"), sink, verified=False)
        sink = self.tls_sink()
        self.record(sink, certificates().good, usage=1)
        self.deferred(self.gate(sink, "required"), sink, "are of no use to SMTP, and DANE is required: 1 1 1 ")

    def test_a_resolver_that_fails_and_comes_back(self):
        for dane in ("opportunistic", "required"):
            with self.subTest(dane=dane):
                sink = self.tls_sink()
                self.record(sink, certificates().good)
                self.dns.broken.add(self.name(sink))
                p = self.gate(sink, dane)
                self.deferred(p, sink, "cannot be looked up: ")
                self.assertEqual(sink.connections, 0)
                self.dns.broken.clear()
                p.wait_log("upstream mta is up", 30)
                self.taken(p, sink, verified=True)


class Memory(DaneCase):
    def test_asked_once_for_many_connections(self):
        sink = self.tls_sink()
        self.record(sink, certificates().good)
        p = self.gate(sink, "required", keep=0)
        for _ in range(4):
            self.taken(p, sink, verified=True)
        self.assertGreaterEqual(sink.connections, 4)
        self.assertEqual(self.dns.questions("TLSA"), [self.name(sink)])

    def test_asked_again_when_the_time_is_over(self):
        self.dns.ttl = 0  # then it is a few seconds
        sink = self.tls_sink()
        self.record(sink, certificates().good)
        p = self.gate(sink, "required", keep=0, probe="100ms")
        net.wait_until(lambda: len(self.dns.questions("TLSA")) >= 2, 20, "a second question")
        self.assertGreater(sink.connections, 5)
        self.taken(p, sink, verified=True)

    def test_a_key_that_changes(self):
        """The records follow; what was known is not good forever."""
        self.dns.ttl = 0
        sink = self.tls_sink()
        self.record(sink, certificates().good)
        p = self.gate(sink, "required", keep=0, probe="100ms")
        self.taken(p, sink, verified=True)
        self.dns.records[self.name(sink)].clear()
        self.record(sink, certificates().second)
        p.wait_log("fails DANE: .*no matching DANE TLSA records", 20)


class Intercepted(DaneCase):
    def test_named_by_verify(self):
        """An intercepted server is an address; the name in `verify` has its records."""
        certs = certificates()
        gate = net.free_port()
        self.network.add("192.0.2.9")
        sink = self.tls_sink(certs.self_signed, host="192.0.2.9", port=25)
        settings = config(1, port=gate)
        settings["listeners"]["main"].update(intercept="redirect", upstream="template")
        settings["upstreams"] = {"template": {"servers": [f"{HOST}:1"], "tls": "opportunistic", "dane": "required",
                                              "verify": {"name": HOST}}}
        self.record(sink, certs.self_signed, port=25)
        p = Postern(self.fresh("postern"), settings)
        p.prefix = self.dns.prefix(self.folder)
        self.stack.enter_context(p)
        self.network.redirect(gate, "tcp dport 25")
        c = self.client(25, host="192.0.2.9")
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertIsNotNone(self.only_message(sink).envelope["tls"])
        self.assertEqual(p.transactions()[0]["upstream_verified"], "dane")
