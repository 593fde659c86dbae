# SPDX-License-Identifier: MIT
"""A real Postfix behind postern (with Dovecot for SASL), real clients in front: smtplib, swaks."""
import email.message
import os
import pathlib
import smtplib
import ssl
import subprocess
import unittest
import uuid

from tests.support import net
from tests.support.case import GTUBE, Case, certificate_settings, certificates, listener
from tests.support.client import Smtp
from tests.support.mta import Postfix

RULES = "[text]\n/GTUBE-STANDARD/ REJECT 5.7.1 GTUBE (rule gtube)\n"
USER, PASSWORD = "alice", "sesame-Open-77"


class Interop(Case):
    """One Postfix for all; every test has a daemon of its own."""

    @classmethod
    def setUpClass(cls):
        cls.holder = net.folder("postern-postfix-")
        folder = pathlib.Path(cls.holder.__enter__())
        cls.mta = Postfix(folder, certificates().good, {USER: PASSWORD})
        cls.mta.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.mta.__exit__()
        cls.holder.__exit__(None, None, None)

    def gate(self, port, tls="none", **more):
        verify = {"name": "mail.example.org", "ca": certificates().ca.certificate}
        limit = {"key": ["sender"], "count": "messages", "rate": "1000/1m", "burst": 1000}
        settings = {"upstreams": {"mta": {"tls": tls, "verify": verify if tls == "required" else False}},
                    "certificates": certificate_settings(main=certificates().good),
                    "listeners": {"main": listener(tls="starttls", certificate="main"),
                                  "implicit": listener(tls="implicit", certificate="main")},
                    "policies": {"main": {"filters": ["content", "limits"]}},
                    "filters": {"content": {"plugin": "content", "rules": ["r.rules"]},
                                "limits": {"plugin": "ratelimit", "store": {"type": "memory"},
                                           "limits": {"s": limit}}}}
        return self.postern(port, files={"r.rules": RULES}, **settings, **more)

    def nonce(self):
        return uuid.uuid4().hex


class Submission(Interop):
    """Postfix requires STARTTLS and AUTH."""

    def test_smtplib_as_everybody_writes_it(self):
        p = self.gate(self.mta.submission, "required")
        host, port, user, password, nonce = "127.0.0.1", p.port, USER, PASSWORD, self.nonce()
        s = smtplib.SMTP(host, port)
        s.starttls(context=ssl.create_default_context(cafile=certificates().ca.certificate))
        s.login(user, password)
        s.sendmail("alice@x.test", ["b@y.test", "c@y.test"], f"Subject: {nonce}\r\n\r\n.dots\r\n..more\r\n")
        s.quit()
        delivered = self.mta.wait_for(nonce.encode())
        self.assertIn(b"\n.dots\n..more\n", delivered[0])
        self.assertIn(f"sasl_username={user}", self.mta.log())
        self.assertNotIn(password, p.log())
        line = p.transactions()[0]
        self.assertEqual((line["user"], line["verdict"], line["upstream_tls"]), (user, "accepted", "TLSv1.3"))

    def test_login_and_cram_md5(self):
        p = self.gate(self.mta.submission, "required")
        for mechanism in ("auth_login", "auth_cram_md5", "auth_plain"):
            with self.subTest(mechanism):
                with smtplib.SMTP("127.0.0.1", p.port) as s:
                    s.starttls()
                    s.ehlo()
                    s.user, s.password = USER, PASSWORD
                    name = mechanism[5:].upper().replace("_", "-")
                    self.assertEqual(s.auth(name, getattr(s, mechanism))[0], 235)
                    nonce = self.nonce()
                    s.sendmail("alice@x.test", ["b@y.test"], f"Subject: {nonce}\r\n\r\nx\r\n")
                self.mta.wait_for(nonce.encode())

    def test_wrong_password_and_no_password(self):
        p = self.gate(self.mta.submission, "required")
        with smtplib.SMTP("127.0.0.1", p.port) as s:
            s.starttls()
            with self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
                s.login(USER, "wrong")
            self.assertEqual(caught.exception.smtp_code, 535)
            with self.assertRaises(smtplib.SMTPRecipientsRefused):
                s.sendmail("alice@x.test", ["b@y.test"], "Subject: x\r\n\r\nx\r\n")

    def test_implicit_tls_and_a_mime_message(self):
        p = self.gate(self.mta.submission, "required")
        nonce = self.nonce()
        message = email.message.EmailMessage()
        message["From"], message["To"], message["Subject"] = "alice@x.test", "b@y.test", f"Grüße {nonce}"
        message.set_content("Straße\n" * 2000)
        message.add_attachment(os.urandom(400000), maintype="application", subtype="octet-stream", filename="a.bin")
        with smtplib.SMTP_SSL("127.0.0.1", p.listener_port("implicit")) as s:
            s.login(USER, PASSWORD)
            s.send_message(message)
        net.wait_until(lambda: [m for m in self.mta.messages() if len(m) > 500000], 20, "the large message")

    def test_content_is_refused_before_postfix_has_it(self):
        p = self.gate(self.mta.submission, "required")
        nonce = self.nonce()
        with smtplib.SMTP("127.0.0.1", p.port) as s:
            s.starttls()
            s.login(USER, PASSWORD)
            with self.assertRaises(smtplib.SMTPDataError) as caught:
                s.sendmail("alice@x.test", ["b@y.test"], f"Subject: {nonce}\r\n\r\n{GTUBE}\r\n")
            self.assertEqual(caught.exception.smtp_code, 550)
            s.sendmail("alice@x.test", ["b@y.test"], f"Subject: after {nonce}\r\n\r\nx\r\n")
        self.assertEqual(len(self.mta.wait_for(nonce.encode())), 1)

    def swaks(self, port, *words):
        return subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(port), "--from", "alice@x.test",
                               "--to", "b@y.test", "--ehlo", "client.example", *words],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def test_swaks(self):
        p = self.gate(self.mta.submission, "required")
        login = ("--auth-user", USER, "--auth-password", PASSWORD)
        cases = (
            (p.port, ("-tls", "--auth", "PLAIN", *login), 0), (p.port, ("-tls", "--auth", "LOGIN", *login), 0),
            (p.port, ("-tls", "--auth", "PLAIN", *login, "--pipeline"), 0),
            (p.listener_port("implicit"), ("--tls-on-connect", "--auth", "PLAIN", *login), 0),
            (p.port, ("-tls",), 24), (p.port, ("--auth", "PLAIN", *login), 28),
        )
        for port, words, code in cases:
            with self.subTest(words=words):
                nonce = self.nonce()
                done = self.swaks(port, *words, "--header", f"Subject: {nonce}")
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                if code == 0:
                    self.mta.wait_for(nonce.encode())


class Relay(Interop):
    """Postfix' plain port: transparency, STARTTLS in every mode."""

    def test_every_tls_mode(self):
        for tls, version in (("none", None), ("opportunistic", "TLSv1.3"), ("required", "TLSv1.3")):
            with self.subTest(tls=tls):
                p = self.gate(self.mta.plain, tls)
                nonce = self.nonce()
                c = self.ready_client(p)
                self.assertEqual(c.message(content=f"Subject: {nonce}\r\n\r\nx\r\n").code, 250)
                self.mta.wait_for(nonce.encode())
                self.assertEqual(p.transactions()[0].get("upstream_tls", "-"), version or "-")
                p.stop()

    def test_queue_id_in_the_log(self):
        p = self.gate(self.mta.plain)
        reply = self.ready_client(p).message(content=f"Subject: {self.nonce()}\r\n\r\nx\r\n")
        queue_id = p.transactions()[0]["qid"]
        self.assertTrue(reply.text.endswith(queue_id), reply)
        net.wait_until(lambda: queue_id in self.mta.queue_ids(), 10, "the id in Postfix' log")

    def test_replies_are_those_of_postfix(self):
        p = self.gate(self.mta.plain)
        script = ("MAIL FROM:<a@x.test>", "RCPT TO:<unknown@y.test>", "RCPT TO:<b@y.test>", "RSET",
                  "MAIL FROM:<a@[1.2.3.4]> BODY=8BITMIME SIZE=100", "RCPT TO:<b@y.test>", "RSET", "MAIL FROM:<>",
                  "RCPT TO:<b@y.test> NOTIFY=SUCCESS ORCPT=rfc822;b@y.test", "RSET", "QUIT")
        direct, through = Smtp(self.mta.plain), Smtp(p.port)
        with direct, through:
            offers = [set(c.hello()) for c in (direct, through)]
            for command in script:
                with self.subTest(command):
                    self.assertEqual(str(through.say(command)), str(direct.say(command)))
        added, missing = offers[1] - offers[0], offers[0] - offers[1]
        self.assertEqual(added, {"LIMITS"})
        self.assertTrue(missing <= {"VRFY", "ETRN"}, missing)

    def test_what_postern_answers_itself_has_the_code_of_postfix(self):
        p = self.gate(self.mta.plain)
        for command in ("VRFY b@y.test", "NOOP x", "RCPT TO:<b@y.test>", "DATA", "MAIL FROM:<a@x.test> SIZE=99999999",
                        "MAIL FROM:<a@x.test> XYZ=1", "XYZZY"):
            with self.subTest(command):
                with Smtp(self.mta.plain) as direct, Smtp(p.port) as through:
                    direct.hello()
                    through.hello()
                    self.assertEqual(through.say(command).code, direct.say(command).code)

    def test_dsn_and_smtputf8_reach_postfix(self):
        p = self.gate(self.mta.plain)
        nonce = self.nonce()
        c = self.ready_client(p)
        c.say("MAIL FROM:<ü@x.test> SMTPUTF8 BODY=8BITMIME", 250)
        c.say("RCPT TO:<ö@y.test>", 250)
        c.say("DATA", 354)
        self.assertEqual(c.content(f"Subject: ü {nonce}\r\n\r\nx\r\n").code, 250)
        self.assertIn("ü@x.test".encode(), self.mta.wait_for(nonce.encode())[0])

    def test_many_sessions_at_once(self):
        p = self.gate(self.mta.plain, "opportunistic", workers=2)
        nonces = [self.nonce() for _ in range(40)]
        clients = [self.ready_client(p) for _ in nonces]
        for c in clients:
            c.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n")
        for c, nonce in zip(clients, nonces):
            self.assertEqual([c.reply().code for _ in range(3)], [250, 250, 354])
            c.send(f"Subject: {nonce}\r\n\r\nx\r\n.\r\n")
        self.assertEqual({c.reply().code for c in clients}, {250})
        for nonce in nonces:
            self.assertEqual(len(self.mta.wait_for(nonce.encode())), 1)


if __name__ == "__main__":
    unittest.main()
