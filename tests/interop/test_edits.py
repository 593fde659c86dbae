# SPDX-License-Identifier: MIT
"""Messages that filters change, into a real Postfix and into Dovecot's LMTP."""
import email
import email.header
import pathlib
import uuid

from tests.support import net
from tests.support.case import Case, certificates, with_filters
from tests.support.daemon import BUILD
from tests.support.lmtpd import Lmtpd
from tests.support.mta import Postfix

PLUGINS = {"path": str(BUILD / "tests" / "plugins")}
MORE = """
smtpd_authorized_xforward_hosts = 127.0.0.1
smtpd_recipient_restrictions = check_recipient_access inline:{ { nobody@y.test = 550 5.1.1 nobody } }, permit_auth_destination, reject
message_size_limit = 100000
"""


class Edits(Case):
    def gate(self, port, protocol="smtp", identity="auto", **edits):
        return self.postern(port, plugins=PLUGINS, upstreams={"mta": {"protocol": protocol, "identity": identity}},
                            **with_filters("edit", edit={"plugin": "editor", **edits}))

    def content(self):
        self.nonce = uuid.uuid4().hex
        return (f"From: A <a@x.test>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?= {self.nonce}\r\nX-Spam: from the sender\r\n"
                "\r\n..body\r\n")


class IntoPostfix(Edits):
    @classmethod
    def setUpClass(cls):
        cls.holder = net.folder("postern-edits-")
        cls.mta = Postfix(pathlib.Path(cls.holder.__enter__()), certificates().good, {}, MORE)
        cls.mta.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.mta.__exit__()
        cls.holder.__exit__(None, None, None)

    def delivered(self, count):
        """The messages, by their recipient."""
        net.wait_until(lambda: len(self.found()) >= count and self.mta.empty_queue(), 20, f"{count} deliveries", 0.1)
        return {m["X-Original-To"]: m for m in self.found()}

    def found(self):
        nonce = self.nonce.encode()
        return [email.message_from_bytes(m) for m in self.mta.messages() if nonce in m]

    def test_fields_and_a_copy(self):
        p = self.gate(self.mta.plain, replace=["X-Spam: yes"], prefix=["Verdächtig"], add=["X-Added: 1"],
                      copy=["archive@y.test", "nobody@y.test"])
        self.assertEqual(self.ready_client(p).message(content=self.content()).code, 250)
        delivered = self.delivered(2)
        self.assertEqual(sorted(delivered), ["archive@y.test", "b@y.test"])
        for m in delivered.values():
            self.assertEqual((m.get_all("X-Spam"), m["X-Added"]), (["yes"], "1"))
            subject = str(email.header.make_header(email.header.decode_header(m["Subject"])))
            self.assertEqual(subject, f"Verdächtig grüße {self.nonce}")
            self.assertEqual(m.get_payload(), ".body\n")
        self.assertIn("<nobody@y.test> was refused: 550", p.transactions()[-1]["note"])

    def test_a_redirect_keeps_who_the_client_is(self):
        p = self.gate(self.mta.plain, identity="xforward", redirect=["quarantine@y.test"], tag=["why: test"])
        c = self.ready_client(p)
        reply = c.message(recipients=("b@y.test", "c@y.test"), content=self.content())
        self.assertEqual(reply.code, 250, reply)
        self.assertEqual(list(self.delivered(1)), ["quarantine@y.test"])
        line = p.transactions()[-1]
        self.assertEqual((line["tags"], line["edits"]), ("why=test", "redirect:quarantine@y.test"))
        queue_id = line["qid"]
        self.assertRegex(self.mta.log(), rf"smtpd\[\d+\]: {queue_id}: client=.*orig_client=.*127\.0\.0\.1")

    def test_a_redirect_that_is_refused_delivers_nothing(self):
        p = self.gate(self.mta.plain, redirect=["nobody@y.test"])
        c = self.ready_client(p)
        self.assertEqual(c.message(content=self.content()).code, 451)
        self.assertTrue(net.wait_until(self.mta.empty_queue, 10, "an empty queue"))
        self.assertEqual(self.found(), [])
        self.assertIn("was refused: 550", p.transactions()[-1]["note"])

    def test_grown_past_its_limit(self):
        p = self.gate(self.mta.plain, add=["X-A: " + "a" * 900])
        body = self.content() + "x" * 70 + "\r\n"
        c = self.ready_client(p)
        filler = ("y" * 70 + "\r\n") * ((99800 - len(body)) // 72)
        self.assertEqual(c.message(content=body + filler).code, 552)
        self.assertEqual(c.message(content=self.content()).code, 250)
        self.delivered(1)


class IntoLmtp(Edits):
    @classmethod
    def setUpClass(cls):
        cls.holder = net.folder("postern-edits-")
        cls.server = Lmtpd(pathlib.Path(cls.holder.__enter__()) / "dovecot")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.holder.__exit__(None, None, None)

    def have_it(self):
        nonce = self.nonce.encode()
        return [name for name in self.server.names if any(nonce in m for m in self.server.messages(name))]

    def test_a_copy_that_dovecot_cannot_deliver(self):
        """dave's mailbox is broken: the client does not hear of it."""
        p = self.gate(self.server.port, "lmtp", copy=["carol@y.test", "dave@y.test"], add=["X-A: 1"])
        reply = self.ready_client(p).message(recipients=("bob@y.test",), content=self.content())
        self.assertEqual(reply.code, 250, reply)
        self.assertEqual(self.have_it(), ["bob", "carol"])
        self.assertIn(b"X-A: 1\n", self.server.messages("carol")[-1])
        self.assertIn("the copy to <dave@y.test> was refused: 4", p.transactions()[-1]["note"])

    def test_redirected(self):
        p = self.gate(self.server.port, "lmtp", redirect=["carol@y.test"])
        reply = self.ready_client(p).message(recipients=("bob@y.test", "dave@y.test"), content=self.content())
        self.assertEqual(str(reply), "250 2.0.0 Ok")
        self.assertEqual(self.have_it(), ["carol"])
