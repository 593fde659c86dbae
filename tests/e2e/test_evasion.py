# SPDX-License-Identifier: MIT
"""Mail made to pass the rules and limits, though people would read it or its recipient would get it."""
import unittest

from tests.e2e.test_content import (DISPOSITION, PLAIN, RULES, attachment, content_filter, encoded, multipart,
                                    text)
from tests.e2e.test_ratelimit import Limits, limit, ratelimit
from tests.support.case import GTUBE, Case, with_filters
from tests.support.client import stuffed

CODED = encoded(GTUBE, "base64").partition("\r\n\r\n")[2]
UTF_7 = "".join(f"+{c}-" for c in ("AFg", "AEo", "AFM")) + GTUBE[3:].replace("+", "+-")
BASE64_PART = "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + CODED


def nested(depth):
    content = BASE64_PART
    for n in range(depth):
        content = f"Content-Type: multipart/mixed; boundary=n{n}.\r\n\r\n--n{n}.\r\n{content}\r\n--n{n}.--\r\n"
    return "Subject: t\r\nMIME-Version: 1.0\r\n" + content


MESSAGES = {  # name: content, code, what the reply names
    "a header section that hides a subject": (
        "".join(f"X-{n}: {'x' * 900}\r\n" for n in range(300)) + "Subject: cheap meds\r\n\r\nx\r\n",
        552, "header section"),
    "parts nested too deep": (nested(25), 552, "nested"),
    "too many parts": (multipart(*[PLAIN] * 1001, BASE64_PART), 552, "parts"),
    "two encodings": (text(GTUBE, "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n"),
                      550, "rule gtube"),  # read in both ways
    "two types": (text(CODED, "Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain\r\n"
                              "Content-Transfer-Encoding: base64\r\n"), 552, "contradict"),
    "a comment before the encoding": (text(CODED, "Content-Transfer-Encoding: (x) base64\r\n"), 550, "rule gtube"),
    "a comment before the type": (multipart(BASE64_PART).replace(": multipart", ": (x) multipart"), 550, "rule gtube"),
    "a boundary of 300 letters": (multipart(BASE64_PART).replace("=b\r\n", "=" + "b" * 300 + "\r\n")
                                  .replace("--b", "--" + "b" * 300), 552, "too much"),
    "UTF-7": (text(UTF_7, "Content-Type: text/plain; charset=utf-7\r\n"), 550, "rule gtube"),
    "the fifth of five names": (multipart(PLAIN, attachment(
        DISPOSITION + "".join(f"filename={n}.txt; " for n in range(4)) + "filename=g.exe")), 552, "too much"),
    "a name of 2,000 letters": (multipart(PLAIN, attachment(DISPOSITION + "".join(
        f"filename*{n}={'x' * 100}; " for n in range(20)) + "filename*20=.exe")), 552, "too much"),
    "a long list of recipients is no trick": (
        "To: " + ",\r\n ".join(f"person{n}@example.test" for n in range(4000)) + "\r\n\r\nx\r\n", 250, ""),
}


class Rules(Case):
    def gate(self, sink, **more):
        return self.postern(sink, files={"rules/test.rules": RULES},
                            **with_filters("content", content=content_filter(**more)))

    def test_content_is_found_or_the_message_refused(self):
        sink = self.sink()
        c = self.ready_client(self.gate(sink))
        for name, (content, code, words) in MESSAGES.items():
            with self.subTest(name):
                reply = c.message(content=stuffed(content))
                self.assertEqual(reply.code, code, reply)
                self.assertIn(words, reply.text)
        self.assertEqual(len(sink.messages()), 1)

    def test_a_filter_that_may_fail_open_says_what_it_let_through(self):
        sink = self.sink()
        p = self.gate(sink, on_error="accept")
        c = self.ready_client(p)
        self.assertEqual(c.message(content=stuffed(nested(25))).code, 250)
        self.assertEqual(len(sink.messages()), 1)
        self.assertTrue(any("depth-limit" in line for line in p.log_lines()))

    def test_quoted_mailboxes_are_what_they_mean(self):
        c = self.ready_client(self.gate(self.sink()))
        c.say('MAIL FROM:<"spam\\mer"@x.test>', 553)
        c.say("MAIL FROM:<a@x.test>", 250)
        c.say('RCPT TO:<"trap"@y.test>', 550)
        c.say('RCPT TO:<"b"@y.test>', 250)


class Mailboxes(Limits):
    def test_one_mailbox_however_it_is_written(self):
        p = self.gate(self.sink(), ratelimit(**{"per-sender": limit(burst=2)}))
        senders = ("ann@x.test", '"ann"@X.test', '"a\\nn"@x.test', "@relay.test:ann@x.test", "ann2@x.test")
        codes = [self.one(p, sender).code for sender in senders]
        self.assertEqual(codes, [250, 250, 450, 450, 250])



if __name__ == "__main__":
    unittest.main()
