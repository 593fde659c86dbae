# SPDX-License-Identifier: MIT
"""Cases of the command parser (CP) that other tests leave open; tests/cases.md says which test is for which case."""
import socket
import threading
import unittest

from tests.support.case import Case, listener, with_filters
from tests.support.client import CONTENT

M, R = "MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>"
TRANSACTION = ("MAIL", "RCPT", "DATA", "RSET")
FORWARDED = (  # what is written in another way than most write it reaches the server as it was written
    "MAIL FROM:<>", "MAIL FROM:<A.B@X.Test>", 'MAIL FROM:<"a b"@x.test>', "RCPT TO:<postmaster>",
    "RCPT TO:<Postmaster@y.test>", 'RCPT TO:<""@y.test>', 'RCPT TO:<"a>b"@y.test>', r'RCPT TO:<"a\"b\\c"@y.test>',
    "RCPT TO:<@a.test,@b.test:u@c.test>", "RCPT TO:<u%c@b.test>", "RCPT TO:<c!b!u@y.test>", "RCPT TO:<u@[127.0.0.1]>",
    "RCPT TO:<u@[IPv6:::1]>",
)
WRITTEN_ANEW = {  # sent: what reaches the server
    "mail from:<a@x.test>": M, "MAIL FROM: <a@x.test>": M, "MAIL FROM:\t<a@x.test>": M, "MAIL FROM:<a@x.test>   ": M,
    "MAIL FROM:<a@x.test>  size=9   BODY=7bit": M + " SIZE=9 BODY=7bit",
}
EIGHT_BIT = {  # bytes that are no UTF-8, or UTF-8 where nobody asked for SMTPUTF8: what may be the answer
    b"M\xc3\xbcIL FROM:<a@x.test>": (500,), b"NOOP \xff": (500, 501), b"NOOP \xc3": (500, 501),
    b"EHLO \xc3.test": (500, 501), b"MAIL FROM:<\xc3\xbc@x.test>": (553,), b"MAIL FROM:<a@\xc3\xbc.test>": (553,),
    b"MAIL FROM:<\xc3@x.test> SMTPUTF8": (500, 501, 553), b"MAIL FROM:<\xc0\xaf@x.test> SMTPUTF8": (500, 501, 553),
    b"MAIL FROM:<\xed\xa0\x80@x.test> SMTPUTF8": (500, 501, 553), b"MAIL FROM:<a@x.test> ENVID=\xff": (500, 501),
    b"MAIL FROM:<a@x.test> \xc3\xbc=1": (500, 501),
}


class Parser(Case):
    def setUp(self):
        super().setUp()
        self.mta = self.sink()

    def gate(self, **more):
        return self.postern(self.mta, **{"limits": {"errors": 1000, "junk_commands": 10000}, **more})

    def seen(self):
        """The commands of transactions that the server got."""
        return [line for line in self.mta.commands() if line.upper().startswith(TRANSACTION)]

    def test_cp01_lines_to_the_octet(self):
        c = self.ready_client(self.gate(listeners={"main": listener(auth_needs_tls=False)}))
        for text, size, code in ((M, 2048, 250), ("RSET", 6, 250), (M, 2049, 500), ("AUTH PLAIN ", 12288, 503),
                                 ("AUTH PLAIN ", 12289, 500), ("RSET", 6, 250)):
            with self.subTest(text, size=size):
                fill = " " if text == M else "A"
                c.say(text + fill * (size - 2 - len(text)), code)

    def test_cp04_octets_above_127(self):
        p = self.gate()
        for command, codes in EIGHT_BIT.items():
            with self.subTest(command):
                c = self.ready_client(p)
                self.assertIn(c.say(command).code, codes)
                self.assertEqual(c.message().code, 250)
        self.assertEqual({line for line in self.seen() if line.startswith("MAIL")}, {M})

    def test_cp06_one_byte_before_the_greeting_is_too_early(self):
        self.mta.set_rules([{"at": "CONNECT", "delay": 0.5}])
        p = self.gate(upstreams={"mta": {"connect": "eager"}})
        with socket.create_connection(("127.0.0.1", p.port)) as s:
            s.sendall(b"\r")
            s.settimeout(10)
            self.assertEqual(s.recv(100)[:9], b"554 5.5.0")

    def test_cp07_nobody_talks_before_a_reply_that_must_be_awaited(self):
        p = self.gate()
        for data in (b"HELO me\r\nRSET\r\n", b"HELP\r\nRSET\r\n", b"QUIT\r\nRSET\r\n", b"STARTTLS\r\nRSET\r\n",
                     b"AUTH PLAIN\r\nAGEAYg==\r\n"):
            with self.subTest(data):
                c = self.ready_client(p)
                c.send(data)
                self.assertEqual(str(c.reply())[:9], "554 5.5.0")
                self.assertTrue(c.at_eof())

    def test_cp09_a_group_larger_than_every_buffer(self):
        p = self.gate(limits={"recipients": 5000})
        names = [f"{i:04}{'r' * 56}@y.test" for i in range(4000)]
        group = (M + "\r\n" + "".join(f"RCPT TO:<{n}>\r\n" for n in names) + "DATA\r\n").encode()
        self.assertGreater(len(group), 300000)
        c = self.ready_client(p, timeout=60)
        sender = threading.Thread(target=c.send, args=(group,))
        sender.start()
        self.assertEqual([c.reply().code for _ in range(4002)], [250] * 4001 + [354])
        sender.join()
        self.assertEqual(c.content(CONTENT).code, 250)
        self.assertEqual(self.only_message(self.mta).recipients, names)

    def test_cp16_quit_wherever_it_comes(self):
        p = self.gate()
        states = ((), ("EHLO me",), ("EHLO me", M), ("EHLO me", M, R), ("EHLO me", M, "RCPT TO:<refuse550@y.test>"),
                  ("EHLO me", "MAIL FROM:<refuse550@x.test>"), ("EHLO me", M, R, "RSET"))
        for state in states:
            with self.subTest(state):
                c = self.client(p)
                c.expect(220)
                for command in state:
                    c.say(command)
                c.quit()
                self.assertTrue(c.at_eof())
        self.assertEqual(self.mta.messages(), [])

    def test_cp16_the_answer_to_the_message_comes_before_goodbye(self):
        """Also where the server's answer and its end arrive together."""
        for rule in ({"delay": 0.2}, {"close": True}, {"reply": "554 5.7.1 no", "close": True}):
            with self.subTest(rule):
                self.mta.set_rules([{"at": "DOT", **rule}])
                c = self.ready_client(self.gate())
                c.envelope()
                c.say("DATA", 354)
                c.send(CONTENT + ".\r\nQUIT\r\n")
                self.assertEqual([c.reply().code, c.reply().code], [554 if "reply" in rule else 250, 221])

    def test_cp17_commands_that_come_for_no_reason(self):
        p = self.postern(self.mta)  # the usual limits: 100 without effect, then 20 that count as errors
        for command in ("RSET", "NOOP", "VRFY <b@y.test>", "HELP", "EHLO again"):
            with self.subTest(command):
                c = self.client(p)
                c.expect(220)
                codes = [c.say("HELO me").code]
                while len(codes) < 1000 and codes[-1] != 421:
                    codes.append(c.say(command).code)
                self.assertEqual((len(codes), {code // 100 for code in codes[:-1]}), (121, {2}))
                self.assertTrue(c.at_eof())

    def test_cp18_vrfy_inside_a_transaction_leaves_it_alone(self):
        c = self.ready_client(self.gate())
        c.say(M, 250)
        c.say(R, 250)
        self.assertNotEqual(c.say("VRFY <ü@x.test>").code // 100, 4)
        c.say("DATA", 354)
        self.assertEqual(c.content(CONTENT).code, 250)
        message = self.only_message(self.mta)
        self.assertEqual((message.sender, message.recipients), ("a@x.test", ["b@y.test"]))

    def test_cp21_cp22_cp23_what_reaches_the_server(self):
        c = self.ready_client(self.gate())
        for command, written in {**{command: command for command in FORWARDED}, **WRITTEN_ANEW}.items():
            with self.subTest(command):
                c.say("RSET", 250)
                if command.startswith("RCPT"):
                    c.say(M, 250)
                before = self.seen().count(written)
                c.say(command, 250)
                self.assertEqual(self.seen().count(written), before + 1)

    def test_cp25_parameters_that_hide_something(self):
        p = self.gate()
        for value in (b"a\x00b", b"a\rb", b"a\nb", b"a\x1bb", b"+0D+0AQ", b"+00", b"+0d", b"\xc3\xbc"):
            closes = any(octet in value for octet in (b"\0", b"\r", b"\n"))
            with self.subTest(value):
                c = self.ready_client(p)
                self.assertIn(c.say(b"MAIL FROM:<a@x.test> ENVID=" + value).code, (500, 501))
                if closes:
                    self.assertTrue(c.at_eof())
                else:
                    self.assertEqual(c.message().code, 250)
        self.assertFalse(any("ENVID" in line for line in self.seen()))

    def test_cp26_real_octets_count_whatever_size_was_declared(self):
        c = self.ready_client(self.gate(limits={"message": "64KiB"}))
        c.say(M + " SIZE=10", 250)
        c.say(R, 250)
        c.say("DATA", 354)
        self.assertEqual(c.content(("x" * 98 + "\r\n") * 700).code, 552)
        c.say(M + " SIZE=10", 250)
        c.say(R, 250)
        c.say("DATA", 354)
        self.assertEqual(c.content(("x" * 98 + "\r\n") * 600).code, 250)
        self.assertEqual(len(self.only_message(self.mta).content), 60000)

    def test_cp31_recipients_far_beyond_the_limit_are_errors(self):
        p = self.postern(self.mta, limits={"recipients": 100, "errors": 5})
        c = self.ready_client(p)
        c.say(M, 250)
        codes = []
        while len(codes) < 3000 and (not codes or codes[-1] != 421):
            codes.append(c.say(f"RCPT TO:<r{len(codes)}@y.test>").code)
        self.assertEqual(codes[:100], [250] * 100)
        self.assertEqual(set(codes[100:-1]), {452})
        self.assertGreater(len(codes), 200, "too early: an overshoot is legal")
        self.assertEqual(codes[-1], 421)
        self.assertEqual(sum(line.startswith("RCPT") for line in self.seen()), 100)

    def test_cp32_the_same_recipient_again_counts_again(self):
        limits = {"per-sender": {"key": ["sender"], "count": "recipients", "rate": "3/1h", "burst": 3}}
        filter_ = {"plugin": "ratelimit", "store": {"type": "memory"}, "limits": limits}
        p = self.gate(**with_filters("limits", limits=filter_))
        c = self.ready_client(p)
        c.say(M, 250)
        self.assertEqual([c.say(f"RCPT TO:<{r}@y.test>").code for r in ("b", "B", "b", "b")], [250, 250, 250, 450])
        c.say("DATA", 354)
        self.assertEqual(c.content(CONTENT).code, 250)
        self.assertEqual(self.only_message(self.mta).recipients, ["b@y.test", "B@y.test", "b@y.test"])

    def test_cp34_blanks(self):
        """Blanks behind a command are put up with, as RFC 5321 4.1.1 asks; those before it are not."""
        c = self.ready_client(self.gate(limits={"errors": 4}))
        c.say("RSET   ", 250)
        c.say("NOOP  x ", 250)
        for command in ("", " ", "\t", " RSET"):
            c.say(command, 500)
        c.say("", 421)
        self.assertTrue(c.at_eof())
        self.assertEqual(self.seen(), [])

    def test_cp36_a_thousand_transactions_in_a_session(self):
        c = self.ready_client(self.postern(self.mta))  # the usual limits
        accepted = 0
        for i in range(1000):
            ask = ("", "refuse550", "defer451", "data554")[i % 7 % 4]
            c.say(f"MAIL FROM:<s{i}@x.test>", 250)
            code = c.say(f"RCPT TO:<{ask or 'b'}@y.test>").code
            self.assertEqual(code, {"refuse550": 550, "defer451": 451}.get(ask, 250))
            if code != 250:
                c.say("RSET", 250)
                continue
            c.say("DATA", 354)
            self.assertEqual(c.content(CONTENT).code, 554 if ask else 250)
            accepted += not ask
        self.assertEqual(len(self.mta.messages()), accepted)


if __name__ == "__main__":
    unittest.main()
