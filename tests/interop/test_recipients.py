# SPDX-License-Identifier: MIT
"""Servers with a word for each recipient: Dovecot's LMTP, and Exim with PRDR."""
import pathlib
import uuid

from tests.support import net, servers
from tests.support.case import Case
from tests.support.lmtpd import Lmtpd


class Lmtp(Case):
    @classmethod
    def setUpClass(cls):
        cls.holder = net.folder("postern-lmtp-")
        cls.server = Lmtpd(pathlib.Path(cls.holder.__enter__()) / "dovecot")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.holder.__exit__(None, None, None)

    def gate(self):
        return self.postern(self.server.port, upstreams={"mta": {"protocol": "lmtp"}})

    def content(self):
        self.nonce = uuid.uuid4().hex
        return f"Subject: {self.nonce}\r\n\r\n..stuffed\r\n"

    def have_it(self):
        return [name for name in self.server.names if any(self.nonce.encode() in m for m in self.server.messages(name))]

    def test_all_have_it(self):
        c = self.ready_client(self.gate())
        reply = c.message(recipients=("bob@y.test", "carol@y.test"), content=self.content())
        self.assertEqual(reply.code, 250, reply)
        self.assertEqual(self.have_it(), ["bob", "carol"])
        self.assertIn(b"\n.stuffed\n", self.server.messages("bob")[-1])

    def test_by_bdat(self):
        c = self.ready_client(self.gate())
        c.envelope(recipients=("bob@y.test", "carol@y.test"))
        content = self.content().encode()
        c.send(b"BDAT 10\r\n" + content[:10] + b"BDAT %d LAST\r\n" % (len(content) - 10) + content[10:])
        self.assertEqual([c.reply().code, c.reply().code], [250, 250])
        self.assertEqual(self.have_it(), ["bob", "carol"])

    def test_an_unknown_one(self):
        c = self.ready_client(self.gate())
        c.say("MAIL FROM:<a@x.test>", 250)
        c.say("RCPT TO:<nobody.here@y.test>", 550)
        c.say("RCPT TO:<bob@y.test>", 250)
        c.say("DATA", 354)
        self.assertEqual(c.content(self.content()).code, 250)
        self.assertEqual(self.have_it(), ["bob"])

    def test_one_that_cannot_have_it_now(self):
        """4yz, because one of them may be tried again; the text says who has it."""
        p = self.gate()
        c = self.ready_client(p)
        reply = c.message(recipients=("bob@y.test", "dave@y.test"), content=self.content())
        self.assertEqual(reply.code, 451, reply)
        self.assertIn("<bob@y.test>: 250", reply.text)
        self.assertIn("<dave@y.test>: 451", reply.text)
        self.assertEqual(self.have_it(), ["bob"])
        p.wait_log("1 of 2 recipients have the message")
        self.assertEqual(c.message(recipients=("carol@y.test",), content=self.content()).code, 250)

    def test_a_client_that_asks_for_each(self):
        c = self.client(self.gate())
        self.assertIn("PRDR", c.hello())
        c.say("MAIL FROM:<a@x.test> PRDR", 250)
        for name in ("bob", "dave", "carol"):
            c.say(f"RCPT TO:<{name}@y.test>", 250)
        c.say("DATA", 354)
        self.assertEqual([c.content(self.content()).code] + [c.reply().code for _ in range(4)], [353, 250, 451, 250, 250])
        self.assertEqual(self.have_it(), ["bob", "carol"])


class Prdr(Case):
    @classmethod
    def setUpClass(cls):
        cls.starter = servers.start("exim")
        cls.server = cls.starter.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.starter.__exit__(None, None, None)

    def ask(self, *recipients):
        c = self.client(self.postern(self.server.port))
        self.assertIn("PRDR", c.hello())
        c.say("MAIL FROM:<a@y.test> PRDR", 250)
        for name in recipients:
            c.say(f"RCPT TO:<{name}@y.test>", 250)
        c.say("DATA", 354)
        return c, c.content("Subject: t\r\n\r\nbody\r\n")

    def test_all_alike(self):
        c, reply = self.ask("b", "c")
        codes = [reply.code] + [c.reply().code for _ in range(3 if reply.code == 353 else 0)]
        self.assertIn(codes, ([250], [353, 250, 250, 250]))
        self.assertEqual(c.message().code, 250)

    def test_one_is_refused(self):
        c, reply = self.ask("e", "prdr550")
        self.assertEqual([reply.code] + [c.reply().code for _ in range(3)], [353, 250, 550, 250])
        self.server.settle()
        self.assertIn(["e@y.test"], [[address for address, _ in m.recipients] for m in self.server.messages()])
