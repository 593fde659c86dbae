# SPDX-License-Identifier: MIT
"""Cases of TLS (TL) that other tests leave open; tests/cases.md says which test is for which case."""
import hashlib
import unittest

from tests.e2e.test_tls import verifying
from tests.support.case import Case, certificate_settings, certificates, listener


class Published(Case):
    """What senders with DANE or MTA-STS look at: the certificate that they see is postern's (TL-30)."""

    def test_tl30_with_the_servers_own_certificate_strict_senders_see_no_difference(self):
        certs = certificates()
        sink = self.tls_sink(certs.good)
        verify = {"name": "mail.example.org", "ca": certs.ca.certificate}
        p = self.postern(sink, certificates=certificate_settings(c=certs.good),
                         listeners={"main": listener(tls="starttls", certificate="c")},
                         upstreams={"mta": {"tls": "required", "verify": verify}})
        seen = []
        for port in (sink.port, p.port):
            c = self.client(port, context=verifying(), name="mail.example.org")
            c.hello()
            c.starttls()
            c.ehlo()
            self.assertEqual(c.message().code, 250)
            seen.append(hashlib.sha256(c.socket.getpeercert(binary_form=True)).hexdigest())
        self.assertEqual(seen, [certs.fingerprint(certs.good)] * 2)

    def test_tl30_with_another_certificate_they_do(self):
        certs = certificates()
        p = self.postern(self.sink(), certificates=certificate_settings(c=certs.second),
                         listeners={"main": listener(tls="starttls", certificate="c")})
        c = self.client(p, context=verifying(), name="mail.example.org")
        c.hello()
        with self.assertRaises(OSError):
            c.starttls()


if __name__ == "__main__":
    unittest.main()
