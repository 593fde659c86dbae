# SPDX-License-Identifier: MIT
"""TLS of intercepted sessions: terminated, minted, passed, forbidden. tests/e2e/test_intercept.py has what the leg to
the server does by itself, and `tls: mirror`, which terminate is another word for."""
import os
import ssl
import unittest
from unittest import mock

from tests.e2e.test_intercept import FOUR, GATE, Interception
from tests.support import net
from tests.support.case import GTUBE, certificate_settings, certificates, with_filters
from tests.support.certs import Certificates
from tests.support.client import Closed
from tests.support.daemon import config, run, yaml
from tests.support.sink import Rule

GTUBE_RULES = {"r.rules": "[text]\n/GTUBE-STANDARD/ REJECT 5.7.1 GTUBE\n"}
CONTENT = with_filters("content", content={"plugin": "content", "rules": ["r.rules"]})
SPAM = f"Subject: x\r\n\r\n{GTUBE}\r\n"
GONE = (Closed, ConnectionError, ssl.SSLError)


def trusting(pair):
    """What a client that verifies trusts."""
    return ssl.create_default_context(cafile=pair.certificate)


class Minting(Interception):
    def setUp(self):
        super().setUp()
        self.organisation = certificates().authority("organisation")
        # The real servers' authority is among those that the machine trusts.
        self.stack.enter_context(mock.patch.dict(os.environ, SSL_CERT_FILE=certificates().ca.certificate))

    def mint(self, redirect=True, toward=None, **listener):
        return self.gate(certificates=certificate_settings(ours=self.organisation), toward=toward, redirect=redirect,
                         listener={"tls": "mint", "mint_ca": "ours", **listener})

    def verifying(self, name=Certificates.NAME, port=25, **options):
        return self.to(FOUR, port, context=trusting(self.organisation), name=name, **options)

    def test_a_client_that_verifies(self):
        sink = self.tls_sink(host=FOUR, port=25)
        p = self.mint()
        c = self.verifying()
        self.assertIn("STARTTLS", c.hello())
        self.assertIsNone(sink.conversations[0].tls)
        c.starttls()
        self.assertEqual(sink.conversations[0].sni, Certificates.NAME)  # the server is asked for what the client asks
        shown = c.socket.getpeercert()
        self.assertEqual(shown["issuer"], ((("commonName", "postern test organisation"),),))
        self.assertIn(("DNS", Certificates.NAME), shown["subjectAltName"])
        self.assertNotIn("STARTTLS", c.ehlo())
        self.assertEqual(c.message().code, 250)
        self.assertEqual(c.quit().code, 221)
        line = p.transactions()[0]
        self.assertEqual((line["tls"], line["upstream_tls"], line["verdict"]), ("TLSv1.3", "TLSv1.3", "accepted"))

    def test_filters_see_what_it_says(self):
        self.tls_sink(host=FOUR, port=25)
        p = self.gate(certificates=certificate_settings(ours=self.organisation), files=GTUBE_RULES,
                      listener={"tls": "mint", "mint_ca": "ours"}, **CONTENT)
        c = self.verifying()
        c.hello()
        c.starttls()
        c.ehlo()
        self.assertEqual(c.message(content=SPAM).code, 550)
        self.assertEqual(p.transactions()[0]["verdict"], "rejected")

    def test_a_name_that_the_server_has_not(self):
        self.tls_sink(host=FOUR, port=25)
        self.mint()
        c = self.verifying("elsewhere.example.com")
        c.hello()
        with self.assertRaises(ssl.SSLCertVerificationError) as refused:
            c.starttls()
        self.assertIn("match", str(refused.exception))

    def test_a_server_that_nobody_vouches_for(self):
        """The copy is as bad as the certificate: nobody is told that all is well."""
        for pair in (certificates().self_signed, certificates().expired):
            with self.subTest(pair.certificate):
                sink = self.tls_sink(pair, host=FOUR, port=25)
                p = self.mint()
                c = self.verifying()
                c.hello()
                with self.assertRaises(ssl.SSLCertVerificationError):
                    c.starttls()
                c = self.to(FOUR, name=Certificates.NAME)  # one that does not verify gets on, as it would directly
                c.hello()
                c.starttls()
                c.ehlo()
                self.assertEqual(c.message().code, 250)
                p.stop()
                self.sinks.remove(sink)
                sink.stop()

    def test_verified_by_the_template(self):
        verify = {"name": Certificates.NAME, "ca": certificates().ca.certificate}
        toward = {"strict": {"servers": ["127.0.0.1:1"], "tls": "opportunistic", "verify": verify}}
        for pair, good in ((certificates().good, True), (certificates().wrong_name, False)):
            with self.subTest(pair.certificate):
                sink = self.tls_sink(pair, host=FOUR, port=25)
                p = self.mint(toward=toward, upstream="strict")
                c = self.verifying()
                c.hello()
                if good:
                    c.starttls()
                    c.ehlo()
                    self.assertEqual(c.message().code, 250)
                else:
                    with self.assertRaises(GONE):
                        c.starttls()
                p.stop()
                self.sinks.remove(sink)
                sink.stop()

    def test_a_server_without_tls(self):
        self.sink(host=FOUR, port=25)
        self.mint()
        c = self.verifying()
        self.assertNotIn("STARTTLS", c.hello())
        self.assertEqual(c.say("STARTTLS").code, 454)
        self.assertEqual(c.message().code, 250)

    def test_a_client_in_the_clear(self):
        sink = self.tls_sink(host=FOUR, port=25)
        self.mint()
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertIsNone(sink.conversations[0].tls)

    def test_a_server_that_fails_in_the_handshake(self):
        for rule in (Rule("STARTTLS", close=True), Rule("STARTTLS", reply="454 4.7.0 Not now")):
            with self.subTest(rule):
                sink = self.tls_sink(host=FOUR, port=25, rules=[rule])
                p = self.mint()
                c = self.verifying()
                c.hello()
                with self.assertRaises(GONE):
                    c.starttls()
                p.stop()
                self.sinks.remove(sink)
                sink.stop()

    def test_a_client_that_leaves_in_the_handshake(self):
        sink = self.tls_sink(host=FOUR, port=25, rules=[Rule("STARTTLS", stall=True)])
        p = self.mint()
        for _ in range(3):
            c = self.verifying()
            c.hello()
            c.say("STARTTLS", 220)
            c.socket.settimeout(0.3)
            with self.assertRaises((OSError, ssl.SSLError)):
                c.handshake()
            c.close()
        net.wait_until(lambda: sum("STARTTLS" in c.commands for c in sink.conversations) == 3, 10, "three of them")
        p.stop()

    def test_many_at_once(self):
        self.tls_sink(host=FOUR, port=25)
        self.mint()
        clients = [self.verifying() for _ in range(20)]
        for c in clients:
            c.hello()
        for c in clients:
            c.starttls()
        for c in clients:
            c.ehlo()
            self.assertEqual(c.message().code, 250)
        self.assertEqual(len({c.socket.getpeercert()["serialNumber"] for c in clients}), 1)  # one copy for all

    def test_implicit(self):
        sink = self.tls_sink(host=FOUR, port=25)
        p = self.mint(redirect=False, tls="implicit")
        self.network.redirect(GATE, f"tcp dport {sink.tls_port}")
        c = self.verifying(port=sink.tls_port, tls=True)
        self.assertEqual(c.socket.getpeercert()["issuer"], ((("commonName", "postern test organisation"),),))
        c.hello()
        self.assertEqual(c.message().code, 250)
        self.assertEqual(sink.conversations[0].sni, Certificates.NAME)
        self.assertEqual(len(sink.conversations), 1)  # the session's leg is the one that the certificate came from
        self.assertEqual(p.transactions()[0]["upstream_tls"], "TLSv1.3")

    def test_implicit_and_the_server_fails(self):
        sink = self.tls_sink(host=FOUR, port=25)
        self.mint(redirect=False, tls="implicit")
        free = net.free_port()
        self.network.redirect(GATE, f"tcp dport {{ {free}, {sink.port}, {sink.tls_port} }}")
        for port in (free, sink.port):  # nobody listens; no TLS
            with self.subTest(port), self.assertRaises(GONE):
                self.verifying(port=port, tls=True, timeout=5)
        c = self.verifying(port=sink.tls_port, tls=True)
        c.hello()


class Passing(Interception):
    def passing(self, **listener):
        return self.gate(files=GTUBE_RULES, listener={"tls": "pass", **listener}, **CONTENT)

    def tunnelled(self):
        c = self.to(FOUR, context=trusting(certificates().ca), name=Certificates.NAME)
        self.assertIn("STARTTLS", c.hello())
        c.starttls()
        c.ehlo()
        return c

    def test_between_the_two(self):
        """The client verifies the server's own certificate; what it says is counted and not seen."""
        sink = self.tls_sink(host=FOUR, port=25)
        p = self.passing()
        c = self.tunnelled()
        self.assertEqual(c.message(content=SPAM).code, 250)
        self.assertEqual(c.message(content="Subject: big\r\n\r\n" + ("y" * 76 + "\r\n") * 40000).code, 250)
        self.assertEqual(c.quit().code, 221)
        c.close()
        self.assertEqual([c.tls for c in sink.conversations], ["TLSv1.3"])
        p.wait_log("event=tunnel")
        line = p.events("tunnel")[0]
        self.assertEqual((line["upstream"], line["listener"]), (f"{FOUR}:25", "main"))
        self.assertGreater(int(line["from_client"]), 78 * 40000)
        self.assertGreater(int(line["from_server"]), 1000)
        self.assertEqual(p.events("transaction"), [])

    def test_in_the_clear_filters_are_in_force(self):
        sink = self.tls_sink(host=FOUR, port=25)
        p = self.passing()
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(c.message(content=SPAM).code, 550)
        self.assertEqual(c.message().code, 250)
        self.assertIsNone(sink.conversations[0].tls)
        self.assertEqual(p.transactions(2)[1]["upstream_tls"], "-")

    def test_the_server_has_no_tls(self):
        self.sink(host=FOUR, port=25)
        self.passing()
        c = self.to(FOUR)
        self.assertNotIn("STARTTLS", c.hello())
        self.assertEqual(c.say("STARTTLS").code, 454)
        self.assertEqual(c.message().code, 250)

    def test_the_server_refuses(self):
        self.tls_sink(host=FOUR, port=25, rules=[Rule("STARTTLS", reply="454 4.7.0 Not now, says the server")])
        self.passing()
        c = self.to(FOUR)
        c.hello()
        self.assertEqual(str(c.say("STARTTLS")), "454 4.7.0 Not now, says the server")
        self.assertEqual(c.message().code, 250)

    def test_plaintext_behind_it(self):
        sink = self.tls_sink(host=FOUR, port=25)
        self.passing()
        c = self.to(FOUR)
        c.hello()
        c.send(b"STARTTLS\r\nRSET\r\n")
        self.assertEqual(c.reply().code, 554)
        self.assertTrue(c.at_eof())
        self.assertNotIn("RSET", sink.commands())

    def test_one_of_them_goes(self):
        self.tls_sink(host=FOUR, port=25, rules=[Rule("NOOP", reset=True)])
        p = self.passing()
        c = self.tunnelled()
        c.reset()
        p.wait_log("event=tunnel")
        c = self.tunnelled()
        c.send("NOOP\r\n")
        with self.assertRaises(GONE):
            while c.reply():
                pass
        net.wait_until(lambda: len(p.events("tunnel")) == 2, 10, "the second line")

    def test_shutting_down(self):
        self.tls_sink(host=FOUR, port=25)
        p = self.passing()
        c = self.tunnelled()
        p.stop()  # after the time to drain, 5 s
        with self.assertRaises(GONE):
            c.reply()
        self.assertIn("shutting down", p.log())

    def test_silence(self):
        self.tls_sink(host=FOUR, port=25)
        settings = {"timeouts": {"upstream_final": "300ms"}}
        p = self.gate(listener={"tls": "pass"}, **settings)
        self.tunnelled()
        p.wait_log("event=tunnel.*silent for too long")


class Words(Interception):
    def test_forbid(self):
        sink = self.tls_sink(host=FOUR, port=25)
        self.gate(listener={"tls": "forbid"})
        c = self.to(FOUR)
        self.assertNotIn("STARTTLS", c.hello())
        self.assertEqual(c.message().code, 250)
        self.assertEqual(sink.conversations[0].tls, "TLSv1.3")  # what leaves this host is as safe as it can be

    def test_terminate(self):
        sink = self.tls_sink(host=FOUR, port=25)
        self.gate(certificates=certificate_settings(main=certificates().good),
                  listener={"tls": "terminate", "certificate": "main"})
        c = self.to(FOUR, context=trusting(certificates().ca), name=Certificates.NAME)
        c.hello()
        c.starttls()
        c.ehlo()
        self.assertEqual(c.message().code, 250)
        self.assertEqual(sink.conversations[0].tls, "TLSv1.3")

    def refused(self, toward=None, **listener):
        settings = config(1)
        settings["certificates"] = certificate_settings(ours=certificates().authority("signer"), main=certificates().good)
        settings["listeners"]["main"] |= {"intercept": "redirect", **listener}
        settings["upstreams"]["mta"] |= toward or {}
        path = self.folder / "p.yaml"
        path.write_text(yaml(settings).lstrip("\n"))
        done = run("-t", "-c", str(path))
        self.assertEqual(done.returncode, 78, done)
        return done.stderr

    def test_what_does_not_fit_together(self):
        self.assertIn("'tls: pass' is for listeners with 'intercept'", self.refused(tls="pass", intercept="none"))
        self.assertIn("but no 'mint_ca'", self.refused(tls="mint"))
        self.assertIn("'tls: terminate' but no 'certificate'", self.refused(tls="terminate"))
        self.assertIn("'tls: mint' needs TLS with the upstream", self.refused(tls="mint", mint_ca="ours"))
        self.assertIn("begins it itself", self.refused(tls="pass", toward={"tls": "opportunistic"}))
        self.assertIn("needs 'tls: implicit' too", self.refused(tls="implicit", mint_ca="ours"))
        self.assertIn("CA", self.refused(tls="mint", mint_ca="main", toward={"tls": "required", "verify": False}))


if __name__ == "__main__":
    unittest.main()
