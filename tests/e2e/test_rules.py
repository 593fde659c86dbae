# SPDX-License-Identifier: MIT
"""The language of the content filter's rules through the daemon: names, expressions, `if`, lists, every scope."""
import time
import unittest

from tests.e2e.test_content import PLAIN, attachment, content_filter, encoded, multipart, text
from tests.support.case import Case, with_filters
from tests.support.client import stuffed

RULES = """[client]
in rules/networks REJECT 5.7.1 Not from there (rule client)
[listener]
/^odd$/ REJECT 5.7.1 Not here (rule listener)
[from]
in rules/senders REJECT 5.7.1 Not you (rule from)
FROM_NEWS = /^news@/
[rawheader:Subject]
/^=\\?utf-8\\?B\\?cmF3/ REJECT 5.7.1 Coded (rule rawheader)
[header:Subject]
MONEY = /money/
[mimeheader:Content-ID]
/evil/ REJECT 5.7.1 Content-ID (rule mimeheader)
[html]
/<blink>/ REJECT 5.7.1 Blinking (rule html)
[url]
in rules/senders REJECT 5.7.1 Such a place (rule url)
[type]
/^application\\/x-evil$/ REJECT 5.7.1 Such a type (rule type)
[flag]
/^bad-base64$/ REJECT 5.7.1 Broken (rule flag)
[size]
> 100KiB REJECT 5.3.4 Too much (rule size)
[text]
if /weather/
/rain/ REJECT 5.7.1 It rains (rule if)
if !/wind/
/sun/ REJECT 5.7.1 No wind (rule nested)
endif
endif
A = /alpha/
B = /beta/
C = /gamma/
[meta]
(FROM_NEWS && MONEY)   REJECT 5.7.1 At the header (rule early)
(>= 2 of (A, B, C))    REJECT 5.7.1 Two of three (rule count)
(A && FROM_NEWS)       REJECT 5.7.1 Both (rule late)
"""
SENDERS = "bad.example\n@only.example\nann@good.example\n"
HTML = "Content-Type: text/html\r\n\r\n"
MESSAGES = {  # name: sender, content, the rule that refuses
    "clean": ("a@x.test", text("hello"), ""),
    "a listed mailbox": ("Ann@good.example", text("x"), "rule from"),
    "a domain below a listed one": ("x@a.bad.example", text("x"), "rule from"),
    "a neighbour of a listed one": ("x@notbad.example", text("x"), ""),
    "raw header": ("a@x.test", "Subject: =?utf-8?B?cmF3?=\r\n\r\nx\r\n", "rule rawheader"),
    "two header rules": ("news@x.test", "Subject: money\r\n\r\nx\r\n", "rule early"),
    "one header rule": ("b@x.test", "Subject: money\r\n\r\nx\r\n", ""),
    "a part's field": ("a@x.test", multipart("Content-ID: <evil>\r\n" + PLAIN), "rule mimeheader"),
    "markup": ("a@x.test", multipart(HTML + "<blink>x</blink>\r\n"), "rule html"),
    "a URL in a part": ("a@x.test", multipart(HTML + '<a href="http://w.bad.example/">x</a>\r\n'), "rule url"),
    "a type": ("a@x.test", multipart(PLAIN, "Content-Type: application/x-evil\r\n\r\nx\r\n"), "rule type"),
    "broken base64": ("a@x.test", encoded("hello" * 20, "base64").replace("aGVs", "a*Vs"), "rule flag"),
    "size": ("a@x.test", text("filler line of text\r\n" * 6000), "rule size"),
    "inside an if": ("a@x.test", text("rain in the weather"), "rule if"),
    "outside of it": ("a@x.test", text("rain and sun"), ""),
    "inside two": ("a@x.test", text("weather: sun"), "rule nested"),
    "outside the inner": ("a@x.test", text("weather: sun and wind"), ""),
    "two of three": ("a@x.test", text("gamma alpha"), "rule count"),
    "one of three": ("a@x.test", text("gamma"), ""),
    "text and envelope": ("news@x.test", text("alpha"), "rule late"),
    "an attachment": ("a@x.test", multipart(PLAIN, attachment("; name=a.bin")), ""),
}


class Language(Case):
    def gate(self, sink, rules=RULES, networks="192.0.2.0/24\n", **more):
        return self.postern(sink, files={"rules/test.rules": rules, "rules/networks": networks,
                                         "rules/senders": SENDERS},
                            **with_filters("content", content=content_filter(**more)))

    def test_every_scope(self):
        sink = self.sink()
        p = self.gate(sink)
        for name, (sender, content, rule) in MESSAGES.items():
            with self.subTest(name):
                c = self.ready_client(p)
                reply = c.say(f"MAIL FROM:<{sender}>")
                if reply.code == 250:
                    c.say("RCPT TO:<b@y.test>", 250)
                    c.say("DATA", 354)
                    c.send(stuffed(content) + b".\r\n")
                    reply = c.reply()
                self.assertEqual(reply.code, 550 if rule else 250, reply)
                self.assertIn(rule, reply.text)
                if rule:
                    self.check_place(p, rule)

    def check_place(self, p, rule):
        place = p.transactions()[-1]["rule"]
        self.assertIn(rule, RULES.splitlines()[int(place.rpartition(":")[2]) - 1])

    def test_a_reload_reads_the_lists_anew(self):
        p = self.gate(self.sink())
        c = self.ready_client(p)
        self.assertEqual(c.message("a@x.test").code, 250)
        p.write("rules/networks", "127.0.0.0/8\n")
        self.assertIn("generation 2", p.reload())
        reply = c.say("MAIL FROM:<a@x.test>", 550)
        self.assertIn("rule client", reply.text)
        p.write("rules/networks", "127.0.0.1/8\n")
        self.assertRegex(p.reload(), "refused")
        self.assertTrue(any("networks:1:1" in line and "bits behind" in line for line in p.log_lines()))
        c.say("MAIL FROM:<a@x.test>", 550)

    def test_a_signed_message_keeps_its_header_section(self):
        sink = self.sink()
        p = self.gate(sink, "[text]\n/spam/ HEADER ADD X-Spam: yes\n", skip_dkim=True)
        c = self.ready_client(p)
        signed = text("spam", "DKIM-Signature: v=1\r\n")
        self.assertEqual(c.message(content=signed).code, 250)
        self.assertEqual(self.only_message(sink).content, signed.encode())
        self.assertTrue(any("skip_dkim" in line and "test.rules:2" in line for line in p.log_lines()))

    def answered(self, canary):
        """How long NOOP took: postern answers it itself, so the server does not count, busy with the 10 MiB."""
        began = time.monotonic()
        canary.say("NOOP", 250)
        took = time.monotonic() - began
        canary.message()  # a session of nothing but NOOP would be sent away
        return took

    def test_a_slow_rule_stops_nobody_else(self):
        """10 MiB that a pattern goes mad on; a second client is answered within 100 ms all the while."""
        rules = "[text]\n" + "".join(f"/x+x+[{n}yz]/ REJECT 5.7.1 slow\n" for n in range(3))
        p = self.gate(self.sink(), rules, on_match_error="skip")
        slow, canary = self.ready_client(p, timeout=60), self.ready_client(p)
        slow.envelope()
        slow.say("DATA", 354)
        piece, worst = ("x" * 300 + "\r\n") * 2170, 0.0
        for n in range(16):
            slow.send(piece)
            worst = max(worst, self.answered(canary))
        slow.send(".\r\n")
        for n in range(5):
            worst = max(worst, self.answered(canary))
        self.assertEqual(slow.reply().code, 250)
        self.assertTrue(any("rule-limit" in entry for entry in p.log_lines()))
        self.assertLess(worst, 0.1)


if __name__ == "__main__":
    unittest.main()
