# SPDX-License-Identifier: MIT
"""TLS through a router with postern on it, in each of the ways that a listener knows: three hosts, the client's own
address kept, IPv4 and IPv6. tests/e2e/test_intercept_tls.py has the same on one host, and what goes wrong."""
import os
import ssl
import unittest
from unittest import mock

from tests.e2e.test_gateway import FAMILIES, Gateway
from tests.support import net
from tests.support.case import GTUBE, certificate_settings, certificates, with_filters
from tests.support.certs import Certificates

RULES = {"r.rules": "[text]\n/GTUBE-STANDARD/ REJECT 5.7.1 GTUBE\n"}
FILTERS = with_filters("content", content={"plugin": "content", "rules": ["r.rules"]})
SPAM = f"Subject: x\r\n\r\n{GTUBE}\r\n"


class Router(Gateway):
    def setUp(self):
        super().setUp()
        self.lay("router")
        self.ours = certificates().authority("gateway")
        self.stack.enter_context(mock.patch.dict(os.environ, SSL_CERT_FILE=certificates().ca.certificate))

    def tls_server(self, family):
        pair = certificates().good
        return self.serve(family, certificate=pair.certificate, key=pair.key, tls_port=0)

    def secured(self, family, trusted):
        """A client that verifies, and trusts one authority."""
        c = self.to(family, context=ssl.create_default_context(cafile=trusted.certificate), name=Certificates.NAME)
        self.assertIn("STARTTLS", c.hello())
        c.starttls()
        c.ehlo()
        return c

    def through(self, tls, trusted, more=None, **listener):
        p = self.gate("tproxy", source="client", files=RULES, tls=tls, more={**FILTERS, **(more or {})}, **listener)
        for family in FAMILIES:
            with self.subTest(family):
                sink = self.tls_server(family)
                c = self.secured(family, trusted)
                spam = c.message(content=SPAM).code
                self.assertEqual(spam, 250 if tls == "pass" else 550)
                self.assertEqual(c.message().code, 250)
                c.quit()
                c.close()
                self.assertEqual(sink.conversations[0].tls, "TLSv1.3")
                self.assertEqual(sink.peers, [self.hosts.client[family]])  # one connection, the client's
        return p

    def test_terminated(self):
        self.through("terminate", certificates().ca, certificate="main",
                     more={"certificates": certificate_settings(main=certificates().good)})

    def test_minted(self):
        p = self.through("mint", self.ours, mint_ca="ours",
                         more={"certificates": certificate_settings(ours=self.ours)})
        self.assertEqual({line["upstream_tls"] for line in p.transactions(4)}, {"TLSv1.3"})

    def test_passed(self):
        p = self.through("pass", certificates().ca)
        net.wait_until(lambda: len(p.events("tunnel")) == 2, 10, "both tunnels' lines")
        self.assertEqual(p.events("transaction"), [])

    def test_forbidden(self):
        self.gate("tproxy", source="client", files=RULES, tls="forbid", more=FILTERS)
        for family in FAMILIES:
            with self.subTest(family):
                sink = self.tls_server(family)
                c = self.to(family)
                self.assertNotIn("STARTTLS", c.hello())
                self.assertEqual(c.message(content=SPAM).code, 550)
                self.assertEqual(c.message().code, 250)
                self.assertEqual(sink.conversations[0].tls, "TLSv1.3")
                self.assertEqual(sink.peers, [self.hosts.client[family]])


if __name__ == "__main__":
    unittest.main()
