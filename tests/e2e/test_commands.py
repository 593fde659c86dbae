# SPDX-License-Identifier: MIT
"""The command parser and the state of a session, as clients see it (area CP of the catalogue)."""
import random
import unittest

from tests.support.case import Case
from tests.support.client import Closed

M, R = "MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>"
# name: commands with the codes that each may have; a code may be a prefix
SEQUENCES = {
    "CP-12 DATA without anything": [("DATA", "503"), (M, "250"), ("DATA", "503"), (R, "250"), ("DATA now", "501")],
    "CP-12 RCPT without MAIL": [(R, "503")],
    "CP-13 nested MAIL": [(M, "250"), ("MAIL FROM:<z@x.test>", "503"), (R, "250"), ("DATA", "354")],
    "CP-15 EHLO resets": [(M, "250"), (R, "250"), ("EHLO again", "250"), (R, "503"), (M, "250")],
    "CP-15 HELO resets": [(M, "250"), (R, "250"), ("HELO again", "250"), ("DATA", "503")],
    "CP-15 RSET resets": [(M, "250"), (R, "250"), ("RSET", "250"), ("DATA", "503"), (M, "250"), (R, "250")],
    "CP-16 QUIT inside": [(M, "250"), (R, "250"), ("QUIT", "221")],
    "CP-18 VRFY inside": [(M, "250"), (R, "250"), ("VRFY <b@y.test>", "25"), ("DATA", "354")],
    "CP-30 unknown": [("XYZZY", "50"), ("XYZZY a b c", "50"), ("M", "50"), ("MAILS FROM:<a@x.test>", "50")],
    "CP-33 never served": [(v, "502") for v in ("EXPN x", "ETRN x", "TURN", "SEND FROM:<a@b>", "SOML FROM:<a@b>")],
    "CP-34 blank lines": [("", "500"), ("   ", "500"), ("  NOOP", "500"), (M, "250")],
    "CP-35 LMTP": [("LHLO me", "50")],
    "arguments": [("RSET now", "501"), ("QUIT now", "501"), ("MAIL", "501"), ("RCPT", "50"), ("VRFY", "501"),
                  ("AUTH", "50"), ("mail from:<a@x.test>", "250"), ("rCpT tO:<b@y.test>", "250")],
}
BAD_MAIL = (  # CP-21, CP-23, CP-24, CP-25
    "MAIL", "MAIL FROM", "MAIL FROM:", "MAIL FROM:a b@x.test", "MAIL FROM:<a@x.test", "MAIL FROM:<<a@x.test>",
    "MAIL FROM:< @x.test>", "MAIL FROM:</@)$@)BLAARGH!@#$$>", "MAIL FROM:<a@>", "MAIL FROM:<@x.test>",
    "MAIL FROM:<a@x..test>", "MAIL FROM:<a@[300.1.1.1]>", "MAIL FROM:<a@[IPv6:::1%eth0]>",
    f"MAIL FROM:<{'l' * 65}@x.test>", f"MAIL FROM:<a@{'d' * 64}.test>", f"MAIL FROM:<a@{'d.' * 130}test>",
    'MAIL FROM:<"a\x01"@x.test>', "MAIL FROM:<a@x.test>SIZE=1", "MAIL FROM:<a@x.test> =", "MAIL FROM:<a@x.test> A==B",
    "MAIL FROM:<a@x.test> SIZE=", "MAIL FROM:<a@x.test> SIZE=-1", "MAIL FROM:<a@x.test> SIZE=1 SIZE=2",
    "MAIL FROM:<a@x.test> SIZE=999999999999999999999", "MAIL FROM:<a@x.test> BODY=FOO",
    "MAIL FROM:<a@x.test> BODY=BINARYMIME",
    "MAIL FROM:<a@x.test> XYZ=1", "MAIL FROM:<a@x.test> RET=SOME", "MAIL FROM:<a@x.test> ENVID=+GG",
    "MAIL FROM:<a@x.test> ENVID=+0", "MAIL FROM:<a@x.test> ENVID=+00", "MAIL FROM:<a@x.test> ENVID=a+0D+0Ab",
    "MAIL FROM:<a@x.test> SMTPUTF8=1", "MAIL FROM:<a@x.test> NOTIFY=NEVER", "MAIL FROM:<a@x.test> REQUIRETLS",
    "MAIL FROM:<a@x.test> " + " ".join(f"P{i}=1" for i in range(200)), "MAIL FROM:<ü@x.test>",
)
BAD_RCPT = (
    "RCPT TO:<>", "RCPT TO:", "RCPT TO:<b@y.test", 'RCPT TO:<"a\\"@y.test>', "RCPT TO:<b@y.test> NOTIFY=",
    "RCPT TO:<b@y.test> NOTIFY=NEVER,SUCCESS", "RCPT TO:<b@y.test> NOTIFY=SOMETIMES",
    "RCPT TO:<b@y.test> ORCPT=rfc822", "RCPT TO:<b@y.test> ORCPT=rfc822;a+0Ab", "RCPT TO:<b@y.test> SIZE=1",
    "RCPT TO:<ü@y.test>", "RCPT TO:<b c@y.test>",
)
GOOD_MAIL = (
    "MAIL FROM:<>", "MAIL FROM:<a@x.test>", "MAIL FROM:<a.b+c@x.test> SIZE=1", f"MAIL FROM:<{'l' * 64}@x.test>",
    'MAIL FROM:<"a>b"@x.test>', 'MAIL FROM:<""@x.test>', "MAIL FROM:<a@[127.0.0.1]>",
    "MAIL FROM:<a@[IPv6:2001:db8::1]>", "MAIL FROM:<a@x.test> BODY=7BIT SIZE=0",
    "MAIL FROM:<a@x.test> RET=FULL ENVID=a+2Bb", "MAIL FROM:<ü@x.test> SMTPUTF8",
)


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.mta = self.sink()
        self.gate = self.postern(self.mta, limits={"errors": 1000, "junk_commands": 10000})

    def test_sequences(self):
        for name, steps in SEQUENCES.items():
            with self.subTest(name):
                c = self.ready_client(self.gate)
                for command, code in steps:
                    reply = c.say(command)
                    self.assertTrue(str(reply.code).startswith(code), f"{command!r}: wanted {code}, got {reply}")
                c.close()

    def test_bad_mail(self):
        c = self.ready_client(self.gate)
        before = [line for line in self.mta.commands() if line.startswith("MAIL")]
        for command in BAD_MAIL:
            with self.subTest(command[:60]):
                self.assertEqual(c.say(command).code // 100, 5)
        self.assertEqual([line for line in self.mta.commands() if line.startswith("MAIL")], before)
        self.assertEqual(c.message().code, 250)

    def test_bad_rcpt(self):
        c = self.ready_client(self.gate)
        c.say(M, 250)
        for command in BAD_RCPT:
            with self.subTest(command):
                self.assertEqual(c.say(command).code // 100, 5)
        self.assertFalse(any(line.startswith("RCPT") for line in self.mta.commands()))
        c.say(R, 250)

    def test_good_mail(self):
        c = self.ready_client(self.gate)
        for command in GOOD_MAIL:
            with self.subTest(command):
                c.say(command, 250)
                c.say("RSET", 250)

    def test_bytes_that_no_command_has(self):
        for command in (b"MAIL FROM:<\xc3@x.test> SMTPUTF8", b"MAIL FROM:<\xc0\xaf@x.test> SMTPUTF8",
                        b"MAIL FROM:<\xed\xa0\x80@x.test> SMTPUTF8", b"NOOP \xff", b"M\xc3\xbcIL FROM:<a@x.test>"):
            with self.subTest(command):
                c = self.ready_client(self.gate)
                code = c.say(command).code
                self.assertIn(code, (250, 500, 501) if command.startswith(b"NOOP") else range(500, 560))
        self.assertFalse(any("\ufffd" in line or "\udcc3" in line for line in self.mta.commands()))

    def test_smtputf8_where_the_upstream_lacks_it(self):
        c = self.ready_client(self.postern(self.sink(extensions=("SIZE", "PIPELINING"))))
        self.assertEqual(c.say("MAIL FROM:<ü@x.test> SMTPUTF8").code // 100, 5)
        self.assertEqual(c.say("MAIL FROM:<ü@x.test>").code // 100, 5)

    def test_cp01_length_of_a_line(self):
        for size, good in ((512, True), (513, True), (1000, True), (2048, True), (2049, False), (10000, False)):
            with self.subTest(size=size):
                c = self.ready_client(self.gate)
                reply = c.say("NOOP " + "x" * (size - 7))
                self.assertEqual(reply.code, 250 if good else 500, reply)
                c.say("NOOP", 250)

    def test_cp02_the_tail_of_a_long_line_is_no_command(self):
        c = self.ready_client(self.gate)
        c.send(b"x" * 5000 + b"MAIL FROM:<evil@x.test>\r\n")
        c.expect(500)
        c.say("RCPT TO:<b@y.test>", 503)
        c.send(b"x" * 5000 + b"\r\nRSET\r\n")
        self.assertEqual([c.reply().code, c.reply().code], [500, 250])

    def test_a_line_without_end_is_closed(self):
        c = self.ready_client(self.gate)
        with self.assertRaises((Closed, ConnectionError, AssertionError)):
            for _ in range(2000):
                c.send(b"x" * 65536)
            while c.reply().code == 500:
                pass
        self.assertEqual(self.ready_client(self.gate).message().code, 250)

    def test_cp03_no_truncation_at_nul(self):
        c = self.ready_client(self.gate)
        c.send(b"MAIL FROM:<a\0b@x.test>\r\n")
        c.expect(500)
        self.assertTrue(c.at_eof())

    def test_cp28_names_in_ehlo(self):
        names = {"[1.2.3.4]": 250, "[IPv6:::1]": 250, "a" * 250: None, "x" * 300: None, "-bad": None, "%n%s": None,
                 "$(x)": None, "": 501, "two words": None, "host.example.": None, "under_score": 250}
        for name, code in names.items():
            with self.subTest(name):
                c = self.client(self.gate)
                c.expect(220)
                got = c.say(f"EHLO {name}").code
                self.assertIn(got, (code,) if code else (250, 501))

    def test_mail_before_hello(self):
        c = self.client(self.gate)
        c.expect(220)
        c.say(M, 503)
        c.say("RSET", 250)
        c.ehlo()
        self.assertEqual(c.message().code, 250)

    def test_quit_behind_the_final_dot(self):
        c = self.ready_client(self.gate)
        c.envelope()
        c.say("DATA", 354)
        c.send(b"Subject: t\r\n\r\nx\r\n.\r\nQUIT\r\n")
        self.assertEqual([c.reply().code, c.reply().code], [250, 221])
        self.assertTrue(c.at_eof())
        self.assertEqual(len(self.mta.messages()), 1)

    def test_cp36_a_thousand_random_commands_against_a_model(self):
        chance, model = random.Random(36), Model()
        c = self.ready_client(self.gate)
        for _ in range(1000):
            command = chance.choice(list(Model.COMMANDS))
            want = model.step(command)
            got = c.say(command)
            self.assertIn(got.code, want, command)
            if got.code == 354:
                self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)


class Model:
    """What a session's state makes of each command: the codes that it may have."""

    COMMANDS = {M: "mail", "MAIL FROM:<refuse553@x.test>": "mail", R: "rcpt", "RCPT TO:<refuse550@y.test>": "rcpt",
                "DATA": "data", "RSET": "reset", "EHLO again": "reset", "HELO again": "reset", "NOOP": "noop",
                "FOO": "unknown"}

    def __init__(self):
        self.mail = self.rcpt = False

    def step(self, command):
        return getattr(self, self.COMMANDS[command] + "_code")(command)

    def mail_code(self, command):
        if self.mail:
            return (503,)
        self.mail = "refuse" not in command
        return (250,) if self.mail else (553,)

    def rcpt_code(self, command):
        if not self.mail:
            return (503,)
        if "refuse" in command:
            return (550,)
        self.rcpt = True
        return (250,)

    def data_code(self, _command):
        if not self.rcpt:
            return (503,)
        self.mail = self.rcpt = False
        return (354,)

    def reset_code(self, _command):
        self.mail = self.rcpt = False
        return (250,)

    def noop_code(self, _command):
        return (250,)

    def unknown_code(self, _command):
        return (500, 502)


if __name__ == "__main__":
    unittest.main()
