# SPDX-License-Identifier: MIT
"""AUTH is relayed, not performed: every mechanism works, the user is known on 235, no secret is kept."""
import base64
import contextlib
import hashlib
import hmac
import smtplib
import unittest

from tests.support.case import Case, certificate_settings, certificates, listener

USER, PASSWORD = "alice", "Correct-Horse_42!"


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Auth(Case):
    def setUp(self):
        super().setUp()
        self.mta = self.tls_sink(users={USER: PASSWORD}, require_auth=True,
                                 mechanisms=("PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL", "SCRAM-SHA-256-PLUS"))
        self.gate = self.postern(
            self.mta, certificates=certificate_settings(good=certificates().good), log={"level": "debug"},
            listeners={"main": listener(tls="starttls", certificate="good"),
                       "clear": listener(auth_needs_tls=False)},
            upstreams={"mta": {"tls": "required", "verify": False}})

    def secure(self):
        c = self.client(self.gate)
        c.hello()
        c.starttls()
        c.ehlo()
        return c

    def check_no_secrets(self):
        log = self.gate.log()
        raw = f"\0{USER}\0{PASSWORD}".encode()
        secrets = [PASSWORD, b64(PASSWORD), b64(raw)] + [b64(raw[i:])[:-4] for i in (1, 2)]
        for secret in secrets:
            self.assertNotIn(secret, log)

    def test_not_offered_and_not_taken_in_the_clear(self):
        c = self.client(self.gate)
        self.assertNotIn("AUTH", c.hello())
        self.assertIn(c.login(USER, PASSWORD).code, (530, 538))
        c.say("MAIL FROM:<a@x.test>", 5)
        self.assertFalse(any(line.startswith("AUTH") for line in self.mta.commands()))
        self.check_no_secrets()

    def test_offered_inside_tls_without_what_is_bound_to_the_channel(self):
        c = self.client(self.gate)
        c.hello()
        c.starttls()
        self.assertEqual(c.ehlo()["AUTH"].split(), ["PLAIN", "LOGIN", "CRAM-MD5"])
        for mechanism in ("EXTERNAL", "SCRAM-SHA-256-PLUS", "XUNHEARD"):
            c.say(f"AUTH {mechanism}", 504)
        self.assertEqual(c.login(USER, PASSWORD).code, 235)

    def exchange(self, c, first, *answers):
        c.send(f"AUTH {first}\r\n")
        reply = c.reply()
        for answer in answers:
            self.assertEqual(reply.code, 334)
            c.send((answer(reply.text) if callable(answer) else answer) + "\r\n")
            reply = c.reply()
        return reply

    def cram(self, challenge):
        digest = hmac.new(PASSWORD.encode(), base64.b64decode(challenge), hashlib.md5).hexdigest()
        return b64(f"{USER} {digest}")

    def test_every_mechanism_and_form(self):
        plain = b64(f"\0{USER}\0{PASSWORD}")
        forms = {
            "plain at once": (f"PLAIN {plain}",), "plain in steps": ("PLAIN", plain),
            "plain in lower case": (f"plain {plain}",), "login": ("LOGIN", b64(USER), b64(PASSWORD)),
            "login with name": (f"LOGIN {b64(USER)}", b64(PASSWORD)), "cram": ("CRAM-MD5", self.cram),
        }
        for name, words in forms.items():
            with self.subTest(name):
                c = self.secure()
                self.assertEqual(str(self.exchange(c, *words)), "235 2.7.0 Welcome")
                self.assertEqual(c.message().code, 250)
                c.quit()
        self.assertEqual({m.envelope["user"] for m in self.mta.messages()}, {USER})
        users = [t.get("user") for t in self.gate.transactions(len(forms))]
        self.assertEqual(set(users), {USER}, users)
        self.check_no_secrets()

    def test_failures_are_the_upstreams(self):
        wrong = b64(f"\0{USER}\0wrong-{PASSWORD}")
        c = self.secure()
        self.assertEqual(str(self.exchange(c, f"PLAIN {wrong}")), "535 5.7.8 Wrong user or password")
        self.assertEqual(self.exchange(c, "PLAIN", "*").code, 501)
        self.assertEqual(self.exchange(c, "LOGIN", "not base64!").code, 501)
        c.say("MAIL FROM:<a@x.test>", 530)
        self.assertEqual(c.login(USER, PASSWORD).code, 235)
        c.say("AUTH PLAIN", 503)
        self.assertEqual(c.message().code, 250)
        c.say("MAIL FROM:<a@x.test>", 250)
        c.say("AUTH PLAIN", 503)
        self.check_no_secrets()
        self.assertNotIn(wrong, self.gate.log())

    def test_an_authenticated_connection_is_nobody_elses(self):
        with contextlib.closing(self.secure()) as c:
            self.assertEqual(c.login(USER, PASSWORD).code, 235)
            self.assertEqual(c.message().code, 250)
            c.quit()
        for _ in range(3):
            with contextlib.closing(self.secure()) as c:
                c.say("MAIL FROM:<a@x.test>", 530)

    def test_a_long_response(self):
        c = self.secure()
        long = b64(b"\0" + b"u" * 8000 + b"\0p")
        self.assertEqual(self.exchange(c, "PLAIN", long).code, 535)
        self.assertGreaterEqual(self.exchange(c, "PLAIN", "A" * 13000).code, 500)

    def test_smtplib(self):
        port = self.gate.listener_port("main")
        with smtplib.SMTP("127.0.0.1", port) as s:
            s.starttls()
            s.login(USER, PASSWORD)
            self.assertEqual(s.sendmail("a@x.test", ["b@y.test"], "Subject: t\r\n\r\nhello\r\n"), {})
        self.assertEqual(self.only_message(self.mta).envelope["user"], USER)
        self.check_no_secrets()

    def test_with_auth_needs_tls_off(self):
        c = self.client(self.gate, "clear")
        self.assertIn("AUTH", c.hello())
        self.assertEqual(c.login(USER, PASSWORD).code, 235)
        self.check_no_secrets()


if __name__ == "__main__":
    unittest.main()
