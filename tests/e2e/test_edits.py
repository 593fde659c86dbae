# SPDX-License-Identifier: MIT
"""Messages that filters change, through the daemon: the server has what the filters want, octet by octet."""
import unittest

from tests.support.case import Case, with_filters
from tests.support.daemon import BUILD
from tests.support.sink import CHUNKING

PLUGINS = {"path": str(BUILD / "tests" / "plugins")}
CONTENT = b"Received: from a\r\n by b\r\nSubject: hello\r\nX-Old: 1\r\nX-Old: 2\r\n\r\n..dots\r\nX-Old: body\r\n"
SEEN = CONTENT.replace(b"\n..", b"\n.")


class Edits(Case):
    def gate(self, sink, *filters, limits=None, **more):
        names = [f"edit{n}" for n in range(len(filters))]
        settings = {name: {"plugin": "editor", **f} for name, f in zip(names, filters)}
        return self.postern(sink, plugins=PLUGINS, limits=limits or {}, **with_filters(*names, **settings), **more)

    def through(self, sink, *filters, content=CONTENT, recipients=("b@y.test",), **more):
        """The server's message, and the transaction's line in the log."""
        p = self.gate(sink, *filters, **more)
        reply = self.ready_client(p).message(recipients=recipients, content=content)
        self.assertEqual(reply.code, 250, reply)
        return self.only_message(sink), p.transactions()[-1]


class Fields(Edits):
    def test_without_a_wish_nothing_changes(self):
        message, line = self.through(self.sink(), {})
        self.assertEqual(message.content, SEEN)
        self.assertNotIn("edits", line)

    def test_every_edit_of_fields(self):
        message, line = self.through(self.sink(), {
            "add": ["X-New: one", "X-New: two"], "remove": ["x-old"], "replace": ["X-Flag: set"],
            "prefix": ["[SPAM]"], "tag": ["lane: slow", "n: 1"]})
        self.assertEqual(message.content, b"X-New: one\r\nX-New: two\r\nReceived: from a\r\n by b\r\n"
                         b"Subject: [SPAM] hello\r\nX-Flag: set\r\n\r\n.dots\r\nX-Old: body\r\n")
        self.assertEqual(line["edits"], "+X-New +X-New =X-Flag -x-old prefix:Subject")
        self.assertEqual(line["tags"], "lane=slow n=1")

    def test_a_prefix_beyond_ascii(self):
        message, _ = self.through(self.sink(), {"prefix": ["Verdächtig:"]})
        self.assertIn(b"Subject: =?UTF-8?B?VmVyZMOkY2h0aWc6?=\r\n hello\r\n", message.content)

    def test_in_every_phase_of_a_message(self):
        for phase in ("mail", "rcpt", "data", "headers", "end"):
            with self.subTest(phase=phase):
                message, _ = self.through(self.sink(), {"phase": phase, "replace": ["X-Old: 3"]})
                self.assertEqual(message.content.count(b"X-Old: 3\r\n"), 1)
                self.assertNotIn(b"X-Old: 1", message.content)

    def test_two_filters(self):
        message, line = self.through(self.sink(), {"phase": "headers", "add": ["X-A: 1", "X-B: 1"]},
                                     {"remove": ["X-A"], "tag": ["t: 2"]})
        self.assertEqual(message.content, b"X-B: 1\r\n" + SEEN)
        self.assertEqual(line["edits"], "+X-B -X-A")

    def test_in_shadow_mode_nothing_changes(self):
        sink = self.sink()
        p = self.gate(sink, {"mode": "shadow", "add": ["X-A: 1"], "redirect": ["q@y.test"], "tag": ["t: 1"]})
        self.assertEqual(self.ready_client(p).message(content=CONTENT).code, 250)
        message = self.only_message(sink)
        self.assertEqual((message.content, message.recipients), (SEEN, ["b@y.test"]))
        self.assertEqual(p.transactions()[-1]["tags"], "t=1")
        p.wait_log("would have done rcpt_replace 'q@y.test'")

    def test_what_cannot_be_done_is_said(self):
        p = self.gate(self.sink(), {"add": ["Bad Name: x"]})
        self.assertEqual(self.ready_client(p).message().code, 451)
        p.wait_log("header_add 'Bad Name' is not done, session .*no name of a header field")

    def test_a_mailbox_needs_smtputf8(self):
        sink = self.sink()
        p = self.gate(sink, {"copy": ["jörg@y.test"]})
        c = self.ready_client(p)
        self.assertEqual(c.message().code, 451)
        c.say("MAIL FROM:<a@x.test> SMTPUTF8", 250)
        c.say("RCPT TO:<b@y.test>", 250)
        c.say("DATA", 354)
        self.assertEqual(c.content(CONTENT).code, 250)
        self.assertEqual(self.only_message(sink).recipients, ["b@y.test", "jörg@y.test"])

    def test_larger_than_the_server_takes(self):
        sink = self.sink(size=400)
        p = self.gate(sink, {"add": ["X-A: " + "a" * 300]})
        c = self.ready_client(p)
        self.assertEqual(c.message(content=CONTENT).code, 250)
        self.assertEqual(c.message(content=CONTENT + b"x" * 100 + b"\r\n").code, 552)
        self.assertEqual(len(sink.messages()), 1)


class Held(Edits):
    LARGE = b"Subject: large\r\n\r\n" + b"".join(b"%070d\r\n" % i for i in range(20000))

    def test_a_large_one_is_held_and_changed(self):
        for extensions in (None, CHUNKING):
            with self.subTest(extensions=extensions):
                sink = self.sink(**({"extensions": extensions} if extensions else {}))
                message, _ = self.through(sink, {"prefix": ["[x]"], "copy": ["c@y.test"]}, content=self.LARGE,
                                          limits={"hold": "1KiB", "body_memory": "64KiB"})
                self.assertEqual(message.content, self.LARGE.replace(b": large", b": [x] large", 1))
                self.assertEqual(message.recipients, ["b@y.test", "c@y.test"])

    def test_no_room_to_hold_it(self):
        sink = self.sink()
        p = self.gate(sink, {"prefix": ["[x]"]}, limits={"hold": "1KiB", "body_memory": "64KiB",
                                                         "bodies_memory": "256KiB", "bodies_disk": "256KiB"})
        self.assertEqual(self.ready_client(p).message(content=self.LARGE).code, 452)
        self.assertEqual(sink.messages(), [])
        self.assertEqual(self.ready_client(p).message(content=CONTENT).code, 250)

    def test_only_rules_that_change_something_hold(self):
        """With no room at all a message can only stream."""
        for rule, code in (("/large/ TAG size=large", 250), ("/large/ SUBJECT [large]", 452)):
            with self.subTest(rule=rule):
                sink = self.sink()
                p = self.postern(sink, files={"r.rules": f"[header:Subject]\n{rule}\n"},
                                 limits={"hold": "1KiB", "bodies_memory": "512KiB", "bodies_disk": "0"},
                                 **with_filters("content", content={"plugin": "content", "rules": ["r.rules"]}))
                self.assertEqual(self.ready_client(p).message(content=self.LARGE).code, code)
                self.assertEqual(len(sink.messages()), 1 if code == 250 else 0)

    def test_binary_by_chunks(self):
        sink = self.sink(extensions=CHUNKING)
        p = self.gate(sink, {"replace": ["A: 2"], "copy": ["c@y.test"]})
        c = self.ready_client(p)
        c.say("MAIL FROM:<a@x.test> BODY=BINARYMIME", 250)
        c.say("RCPT TO:<b@y.test>", 250)
        c.send(b"BDAT 9\r\nA: 1\r\n\r\n\0" + b"BDAT 6 LAST\r\n\n.\n\xff\r\r")
        self.assertEqual([c.reply().code, c.reply().code], [250, 250])
        self.assertEqual(self.only_message(sink).content, b"A: 2\r\n\r\n\0\n.\n\xff\r\r")


class Recipients(Edits):
    def test_copies(self):
        message, line = self.through(self.sink(), {"copy": ["c@y.test", "d@y.test"]})
        self.assertEqual(message.recipients, ["b@y.test", "c@y.test", "d@y.test"])
        self.assertEqual([r["parameters"] for r in message.envelope["recipients"]],
                         [[], ["NOTIFY=NEVER"], ["NOTIFY=NEVER"]])
        self.assertEqual(message.content, SEEN)
        self.assertEqual((line["rcpt"], line["to"]), ("1/1", "b@y.test"))

    def test_a_copy_that_is_refused(self):
        message, line = self.through(self.sink(), {"copy": ["refuse550@y.test", "d@y.test"]})
        self.assertEqual(message.recipients, ["b@y.test", "d@y.test"])
        self.assertIn("the copy to <refuse550@y.test> was refused: 550", line["note"])
        self.assertEqual(line["verdict"], "accepted")

    def test_a_redirect_and_the_next_message(self):
        sink = self.sink()
        p = self.gate(sink, {"redirect": ["q@y.test"], "copy": ["c@y.test"]})
        c = self.ready_client(p)
        for sender in ("one@x.test", "two@x.test"):
            c.say(f"MAIL FROM:<{sender}> SIZE=100 RET=HDRS ENVID=e BODY=8BITMIME", 250)
            c.say("RCPT TO:<b@y.test>", 250)
            c.say("RCPT TO:<e@y.test>", 250)
            c.say("DATA", 354)
            self.assertEqual(c.content(CONTENT).code, 250)
        self.assertEqual([(m.sender, m.recipients) for m in sink.messages()],
                         [("one@x.test", ["q@y.test", "c@y.test"]), ("two@x.test", ["q@y.test", "c@y.test"])])
        self.assertEqual(sorted(sink.messages()[0].envelope["sender_parameters"]),
                         ["BODY=8BITMIME", "ENVID=e", "RET=HDRS", f"SIZE={len(SEEN)}"])
        self.assertEqual(sink.violations(), [])

    def test_a_redirect_that_is_refused(self):
        sink = self.sink()
        p = self.gate(sink, {"redirect": ["refuse550@y.test"]})
        c = self.ready_client(p)
        self.assertEqual(c.message(content=CONTENT).code, 451)
        self.assertEqual(sink.messages(), [])
        line = p.transactions()[-1]
        self.assertEqual(line["verdict"], "deferred")
        self.assertIn("the redirect to <refuse550@y.test> was refused: 550", line["note"])

    def test_one_by_one_without_pipelining(self):
        sink = self.sink(extensions=("SIZE", "8BITMIME"))
        message, _ = self.through(sink, {"redirect": ["q@y.test"], "copy": ["c@y.test"], "add": ["X: y"]})
        self.assertEqual(message.recipients, ["q@y.test", "c@y.test"])
        self.assertEqual(message.content, b"X: y\r\n" + SEEN)
        self.assertEqual(sink.violations(), [])

    def test_lmtp(self):
        sink = self.sink(lmtp=True)
        p = self.gate(sink, {"copy": ["c@y.test", "data554@y.test"]}, upstreams={"mta": {"protocol": "lmtp"}})
        reply = self.ready_client(p).message(recipients=("b@y.test", "e@y.test"), content=CONTENT)
        self.assertEqual(reply.code, 250, reply)
        self.assertEqual(self.only_message(sink).recipients[:3], ["b@y.test", "e@y.test", "c@y.test"])
        self.assertIn("the copy to <data554@y.test> was refused: 554", p.transactions()[-1]["note"])
        self.assertEqual(sink.violations(), [])


if __name__ == "__main__":
    unittest.main()
