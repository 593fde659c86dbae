# SPDX-License-Identifier: MIT
"""A real Postfix sees each client as if postern were not there: XCLIENT, XFORWARD, PROXY headers."""
import pathlib
import socket
import uuid

from tests.support import net
from tests.support.case import Case, certificate_settings, certificates, listener
from tests.support.client import Smtp
from tests.support.mta import Postfix

CLIENT = "127.0.0.9"
TRUSTS = "smtpd_authorized_{0}_hosts = 127.0.0.1\n"


class Identity(Case):
    """One Postfix a class; `more` is what it is told of identities."""

    more = ""

    @classmethod
    def setUpClass(cls):
        cls.holder = net.folder("postern-postfix-")
        cls.mta = Postfix(pathlib.Path(cls.holder.__enter__()), certificates().good, {}, cls.more)
        cls.mta.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.mta.__exit__()
        cls.holder.__exit__(None, None, None)

    def gate(self, method, tls="none"):
        return self.postern(self.mta.plain, upstreams={"mta": {"identity": method, "tls": tls, "verify": False}},
                            certificates=certificate_settings(main=certificates().good),
                            listeners={"main": listener(tls="starttls", certificate="main")})

    def session(self, p, source=CLIENT, helo="c.example.net"):
        c = self.stack.enter_context(Smtp(p.port, source=(source, 0)))
        c.hello(helo)
        return c

    def send(self, c):
        nonce = uuid.uuid4().hex
        reply = c.message(content=f"Subject: {nonce}\r\n\r\nbody\r\n")
        self.assertEqual(reply.code, 250, reply)
        return nonce.encode(), reply.text.rpartition(" ")[2]

    def received(self, nonce):
        message, = self.mta.wait_for(nonce)
        return message[message.index(b"\nReceived:"):message.index(b"\nSubject:")].decode()

    def log_of(self, queue_id):
        return [line for line in self.mta.log().splitlines() if f"{queue_id}: client=" in line]

    def connections(self):
        return self.mta.log().count("]: connect from")


class Xclient(Identity):
    more = TRUSTS.format("xclient")

    def test_by_itself(self):
        for method in ("auto", "xclient"):
            with self.subTest(method):
                nonce, queue_id = self.send(self.session(self.gate(method)))
                self.assertIn(f"from c.example.net (unknown [{CLIENT}])", self.received(nonce))
                self.assertIn(f"client=unknown[{CLIENT}]", self.log_of(queue_id)[0])

    def test_over_starttls(self):
        nonce, _ = self.send(self.session(self.gate("auto", "required")))
        self.assertIn(f"[{CLIENT}]", self.received(nonce))

    def test_a_connection_for_each_client(self):
        p = self.gate("xclient")
        first, second = self.session(p), self.session(p, "127.0.0.10", "d.example.net")
        before = self.connections()
        for c, address in ((first, CLIENT), (second, "127.0.0.10"), (first, CLIENT), (first, CLIENT)):
            nonce, _ = self.send(c)
            self.assertIn(f"[{address}]", self.received(nonce))
        self.assertIn(self.connections() - before, (1, 2))  # the daemon's own question may have left one

    def test_none(self):
        nonce, _ = self.send(self.session(self.gate("none")))
        self.assertNotIn(CLIENT, self.received(nonce))

    def test_a_server_that_does_not_take_what_was_chosen(self):
        c = self.session(self.gate("xforward"))
        reply = c.say("MAIL FROM:<a@x.test>")
        self.assertEqual(reply.code, 421, reply)


class Xforward(Identity):
    more = TRUSTS.format("xforward")

    def test_by_itself(self):
        for method in ("auto", "xforward"):
            with self.subTest(method):
                _, queue_id = self.send(self.session(self.gate(method)))
                line, = self.log_of(queue_id)
                self.assertIn(f"[{CLIENT}]", line)

    def test_connections_are_shared(self):
        p = self.gate("xforward")
        before = self.connections()
        for address in (CLIENT, "127.0.0.10", "127.0.0.11"):
            _, queue_id = self.send(self.session(p, address))
            self.assertIn(f"[{address}]", self.log_of(queue_id)[0])
        self.assertLessEqual(self.connections() - before, 2)  # a worker each, at most


class Proxy(Identity):
    more = "smtpd_upstream_proxy_protocol = haproxy\nsmtpd_upstream_proxy_timeout = 5s\n"

    def setUp(self):
        super().setUp()
        self.strict_sink = False

    def test_both_versions(self):
        for method, tls in (("proxy-v1", "none"), ("proxy-v2", "none"), ("proxy-v2", "required")):
            with self.subTest(method=method, tls=tls):
                c = self.session(self.gate(method, tls))
                for _ in range(2):
                    nonce, _ = self.send(c)
                    self.assertIn(f"[{CLIENT}]", self.received(nonce))

    def test_without_it_nothing_is_heard(self):
        with socket.create_connection(("127.0.0.1", self.mta.plain), 10) as s:
            s.sendall(b"EHLO c\r\n")
            self.assertNotIn(b"250", s.recv(100))


class Named(Identity):
    """Clients whom a proxy in front names, with addresses made for documentation; what it says goes on to Postfix."""

    more = TRUSTS.format("xclient") + "inet_protocols = all\nsmtpd_sasl_auth_enable = yes\n"
    FOUR, SIX = "203.0.113.9", "2001:db8::9"

    def named(self, method, words):
        p = self.postern(self.mta.plain, upstreams={"mta": {"identity": method}},
                         listeners={"main": listener(trust_xclient=["127.0.0.2"])})
        c = self.session(p, "127.0.0.2", "front.example.net")
        c.say(f"XCLIENT {words}", 220)
        c.ehlo("c.example.net")
        return c

    def test_both_families(self):
        for address, said in ((self.FOUR, self.FOUR), (self.SIX, f"IPv6:{self.SIX}")):
            for method in ("auto", "xclient"):
                with self.subTest(address=address, method=method):
                    nonce, queue_id = self.send(self.named(method, f"ADDR={said} PORT=4711"))
                    self.assertIn(f"[{said}]", self.received(nonce))
                    self.assertIn(f"[{address}]", self.log_of(queue_id)[0])

    def test_login_and_name(self):
        words = f"ADDR={self.FOUR} NAME=n.example.net LOGIN=jane+2Bdoe@x.test DESTADDR=198.51.100.2 DESTPORT=25"
        nonce, queue_id = self.send(self.named("xclient", words))
        line, = self.log_of(queue_id)
        self.assertIn(f"client=n.example.net[{self.FOUR}]", line)
        self.assertIn("sasl_username=jane+doe@x.test", line)
        self.assertIn(f"from c.example.net (n.example.net [{self.FOUR}])", self.received(nonce))

    def test_a_client_that_nobody_knows(self):
        nonce, _ = self.send(self.named("xclient", "ADDR=[UNAVAILABLE]"))
        self.assertIn("(unknown [unknown])", self.received(nonce))


class NamedTurnedAway(Named):
    """Postfix judges the named client in its second greeting."""

    more = Named.more + f"smtpd_delay_reject = no\nsmtpd_client_restrictions = check_client_access inline:{{{Named.FOUR}=REJECT}}\n"
    test_both_families = test_login_and_name = test_a_client_that_nobody_knows = None

    def test_it_reads_why(self):
        c = self.named("xclient", f"ADDR={self.FOUR}")
        reply = c.say("MAIL FROM:<a@x.test>")
        self.assertEqual(reply.code, 554, reply)
        self.assertIn("Client host rejected", reply.text)
        self.send(self.named("xclient", "ADDR=203.0.113.10"))


class NamedProxy(Identity):
    """The same by PROXY headers in and out."""

    more = "smtpd_upstream_proxy_protocol = haproxy\nsmtpd_upstream_proxy_timeout = 5s\ninet_protocols = all\n"

    def setUp(self):
        super().setUp()
        self.strict_sink = False

    def test_both_families(self):
        for method in ("proxy-v1", "proxy-v2"):
            p = self.postern(self.mta.plain, upstreams={"mta": {"identity": method}},
                             listeners={"main": listener(trust_proxy=["127.0.0.2"])})
            for family, client, reached in (("TCP4", Named.FOUR, "198.51.100.2"), ("TCP6", Named.SIX, "2001:db8::1")):
                with self.subTest(method=method, client=client):
                    c = self.stack.enter_context(Smtp(p.port, source=("127.0.0.2", 0)))
                    c.send(f"PROXY {family} {client} {reached} 4711 25\r\n")
                    c.hello("c.example.net")
                    nonce, queue_id = self.send(c)
                    self.assertIn(client, self.received(nonce))
                    self.assertIn("from c.example.net ", self.received(nonce))
                    self.assertIn(f"[{client}]", self.log_of(queue_id)[0])
