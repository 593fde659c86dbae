# SPDX-License-Identifier: MIT
"""The plain proxy: the dialogue through postern equals the dialogue without it, but for a short list."""
import hashlib
import os
import socket
import unittest

from tests.support import net
from tests.support.case import Case, listener
from tests.support.client import Closed, stuffed

KIB, MIB = 1024, 1024 * 1024


def body(size, seed=b"x"):
    """Text of about `size` bytes with lines of all lengths and many leading dots."""
    out, n = [b"Subject: big\r\n\r\n"], 0
    while n < size:
        digest = hashlib.sha256(seed + str(n).encode()).hexdigest().encode()
        line = (b"." * (digest[0] % 3) + digest)[:1 + digest[1] % 66] + b"\r\n"
        out.append(line)
        n += len(line)
    return b"".join(out)


class Greeting(Case):
    def test_greets_by_its_own_name_without_an_upstream_connection_per_client(self):
        sink = self.sink()
        p = self.postern(sink)
        before = self.connections_after_probe(sink)
        for _ in range(5):
            with self.client(p) as c:
                self.assertTrue(c.expect(220).text.startswith("gate.example.org"))
                c.ehlo()
                c.quit()
        self.assertEqual(sink.connections, before)

    def test_ehlo_is_honest(self):
        cases = (
            (("SIZE", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN"), ()),
            (("SIZE", "8BITMIME"), ()),
            (("DSN", "SMTPUTF8"), ("CHUNKING", "BINARYMIME", "BURL imap", "XCLIENT NAME", "XUNHEARD",
                                   "AUTH PLAIN EXTERNAL SCRAM-SHA-256-PLUS")),
        )
        for extensions, extra in cases:
            with self.subTest(extensions=extensions):
                sink = self.sink(extensions=extensions, extra_lines=extra)
                offered = set(self.client(self.postern(sink)).hello())
                relayed = set(extensions) - {"PIPELINING", "SIZE"} | ({"BINARYMIME"} if extra else set())
                self.assertEqual(offered - {"PIPELINING", "SIZE", "HELP", "CHUNKING", "LIMITS"}, relayed)
                self.assertIn("PIPELINING", offered)

    def test_size_is_the_smaller_of_both(self):
        for upstream, own, right in ((10 * MIB, "1MiB", MIB), (MIB, "10MiB", MIB)):
            with self.subTest(upstream=upstream, own=own):
                p = self.postern(self.sink(size=upstream), limits={"message": own})
                self.assertEqual(self.client(p).hello()["SIZE"], str(right))

    def test_greeting_is_421_while_no_upstream_is_up(self):
        p = self.postern(net.free_port())
        net.wait_until(lambda: self.client(p).reply().code == 421, 15, "421 as greeting", 0.2)

    def test_listens_on_ipv4_and_ipv6(self):
        sink, port = self.sink(), net.free_port()
        p = self.postern(sink, listeners={"main": listener(), "six": {
            "bind": [f"127.0.0.1:{port}", f"[::1]:{port}"], "upstream": "mta", "policy": "main"}})
        for host in ("127.0.0.1", "::1"):
            with self.subTest(host=host):
                c = self.client(port, host=host)
                c.hello()
                self.assertEqual(c.message().code, 250)
                c.quit()
        clients = [t["client"] for t in p.transactions(2)]
        self.assertTrue(any("::1" in c for c in clients) and any("127.0.0.1" in c for c in clients), clients)


class Transparency(Case):
    def test_every_parameter_is_carried(self):
        sink = self.sink(users={"u": "p"})
        c = self.ready_client(self.postern(sink, listeners={"main": {"auth_needs_tls": False}}))
        c.login("u", "p")
        mail = ["SIZE=200", "BODY=8BITMIME", "RET=HDRS", "ENVID=QQ314159+2B", "SMTPUTF8", "AUTH=e+3Dmc2@x.test"]
        rcpt = ["NOTIFY=SUCCESS,FAILURE,DELAY", "ORCPT=rfc822;Bob+40y.test"]
        c.say("MAIL FROM:<a@x.test> " + " ".join(mail), 250)
        c.say("RCPT TO:<b@y.test> " + " ".join(rcpt), 250)
        c.say("RCPT TO:<c@y.test> NOTIFY=NEVER", 250)
        c.say("DATA", 354)
        self.assertEqual(c.content("Subject: x\r\n\r\nb\xe4\r\n").code, 250)
        kept = self.only_message(sink).envelope
        self.assertEqual(sorted(p.upper() for p in kept["sender_parameters"]), sorted(p.upper() for p in mail))
        self.assertEqual(kept["recipients"][0]["parameters"], rcpt)
        self.assertEqual(kept["recipients"][1]["parameters"], ["NOTIFY=NEVER"])

    def test_envelopes_arrive_as_they_were_sent(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        pairs = (
            ("", ["b@y.test"]), ("a@x.test", ["b@y.test", "B@Y.test", "b@y.test"]),
            ('"a b"@x.test', ['"c>d"@y.test']), ("a@[127.0.0.1]", ["b@[IPv6:::1]"]),
            ("user+tag@x.test", ["u%c@b.test"]), ("a@x.test", ["postmaster@y.test"]),
        )
        for sender, recipients in pairs:
            self.assertEqual(c.message(sender, recipients).code, 250, (sender, recipients))
        self.assertEqual([(m.sender, m.recipients) for m in sink.messages()], [(s, r) for s, r in pairs])

    def test_postmaster_without_domain(self):
        sink = self.sink()
        self.assertEqual(self.ready_client(self.postern(sink)).message(recipients=["Postmaster"]).code, 250)
        self.assertEqual(self.only_message(sink).recipients, ["Postmaster"])

    def test_smtputf8_addresses(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.say("MAIL FROM:<jürgen@münchen.test> SMTPUTF8", 250)
        c.say("RCPT TO:<δοκιμή@παράδειγμα.test>", 250)
        c.say("DATA", 354)
        self.assertEqual(c.content("Subject: ü\r\n\r\nü\r\n").code, 250)
        kept = self.only_message(sink)
        self.assertEqual((kept.sender, kept.recipients), ("jürgen@münchen.test", ["δοκιμή@παράδειγμα.test"]))

    def test_helo_without_extensions(self):
        sink = self.sink()
        c = self.client(self.postern(sink))
        c.expect(220)
        self.assertEqual(len(c.say("HELO me.example", 250).lines), 1)
        self.assertEqual(c.message().code, 250)

    def test_upstreams_replies_are_unchanged(self):
        replies = (
            ("MAIL", "452 4.3.1 Full, come back\nlater, please\n4.3.1 at night"),
            ("MAIL", "550 No enhanced code here"),
            ("RCPT", "250 2.1.5 <b@y.test> is fine\nreally"),
            ("RCPT", "550 5.1.1 <b@y.test>: no such user; see https://example.org/?a=b&c=%20"),
            ("RCPT", "452 -odd dash"),
            ("DOT", "250 2.6.0 <1@x> Queued mail for delivery\nid=42"),
            ("DOT", "554 5.7.1 Spam: (a) \"b\" \\c\nsecond line"),
            ("DOT", "451 4.7.1 Greylisted, 300 s"),
        )
        sink = self.sink()
        p = self.postern(sink)
        for at, text in replies:
            with self.subTest(at=at, text=text):
                sink.set_rules([{"at": at, "reply": text}])
                c = self.ready_client(p)
                reply = self.reply_at(c, at)
                self.assertEqual(str(reply), text)
                c.close()

    def reply_at(self, c, at):
        reply = c.say("MAIL FROM:<a@x.test>")
        if at == "MAIL":
            return reply
        reply = c.say("RCPT TO:<b@y.test>")
        if at == "RCPT":
            return reply
        c.say("DATA", 354)
        return c.content("Subject: t\r\n\r\nx\r\n")

    def test_refused_recipients_among_accepted_ones(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.say("MAIL FROM:<a@x.test>", 250)
        codes = [c.say(f"RCPT TO:<{r}@y.test>").code for r in ("b", "refuse550", "defer451", "c")]
        self.assertEqual(codes, [250, 550, 451, 250])
        c.say("DATA", 354)
        self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)
        self.assertEqual(self.only_message(sink).recipients, ["b@y.test", "c@y.test"])

    def test_refused_sender(self):
        c = self.ready_client(self.postern(self.sink()))
        self.assertEqual(str(c.say("MAIL FROM:<refuse553@x.test>")), "553 5.1.1 <refuse553@x.test>: as asked")
        c.say("RCPT TO:<b@y.test>", 503)
        self.assertEqual(c.message().code, 250)

    def test_no_header_is_added_and_no_byte_changed(self):
        contents = (
            b"Subject: t\r\n\r\nbody\r\n", b"", b"\r\n", b"\r\n\r\n", b"no header at all\r\n",
            b".\r\n..\r\n...\r\n.x\r\n", b"Subject: \xe4\xff\x80\r\n\r\n\x01\x7f\x1b\t \r\n",
            b"A: " + b"x" * 5000 + b"\r\n\r\n" + b"y" * 5000 + b"\r\n", b" leading space\r\n\r\n",
            b"a: b\r\n c\r\n\t d\r\n\r\n.\r\n", b"\x0b.\x0b\r\n\x0c.\r\n\x85.\r\n\xe2\x80\xa8.\r\n",
        )
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        for content in contents:
            c.envelope()
            c.say("DATA", 354)
            self.assertEqual(c.content(stuffed(content)).code, 250, content)
        self.assertEqual([m.content for m in sink.messages()], list(contents))

    def test_other_verbs(self):
        c = self.ready_client(self.postern(self.sink()))
        for command, code in (("NOOP", 250), ("NOOP hello", 250), ("RSET", 250), ("VRFY b@y.test", 25),
                              ("HELP", 214), ("EXPN list", 502), ("ETRN x", 502), ("XYZZY", 50), ("TURN", 502)):
            with self.subTest(command=command):
                c.say(command, code)
        self.assertEqual(c.message().code, 250)

    def test_bdat_that_was_not_offered_closes(self):
        c = self.ready_client(self.postern(self.sink(), listeners={"main": {"chunking": False}}))
        c.envelope()
        c.send(b"BDAT 7 LAST\r\nQUIT\r\n\r\n")
        self.assertEqual(c.reply().code // 100, 5)
        self.assertTrue(c.at_eof())


class Bodies(Case):
    def test_large_bodies_arrive_byte_identical(self):
        sink = self.sink()
        p = self.postern(sink)
        c = self.ready_client(p)
        for size in (250 * KIB, 256 * KIB, 257 * KIB, 3 * MIB, 12 * MIB):
            with self.subTest(size=size):
                content = body(size)
                c.envelope()
                c.say("DATA", 354)
                self.assertEqual(c.content(stuffed(content)).code, 250)
                self.assertEqual(sink.messages()[-1].content, content)

    def test_a_large_body_waits_in_an_unlinked_file_of_state_dir(self):
        state = self.folder / "bodies"
        state.mkdir(mode=0o777)
        os.chmod(state, 0o777)
        p = self.postern(self.sink(), state_dir=str(state), limits={"hold": "10MiB"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        content = stuffed(body(2 * MIB))
        c.send(content)
        net.wait_until(lambda: self.spool_links(p, state), 10, "an open file in state_dir")
        self.assertEqual(list(state.iterdir()), [])
        self.assertTrue(all("(deleted)" in name for name in self.spool_links(p, state)))
        c.send(b".\r\n")
        c.expect(250)
        net.wait_until(lambda: not self.spool_links(p, state), 10, "the file to be closed")

    def spool_links(self, p, state):
        found = []
        for worker in p.workers():
            fds = f"/proc/{worker}/fd"
            for fd in os.listdir(fds):
                try:
                    target = os.readlink(f"{fds}/{fd}")
                except OSError:
                    continue
                if target.startswith(str(state)):
                    found.append(target)
        return found

    def test_size_declared_too_large(self):
        c = self.ready_client(self.postern(self.sink(), limits={"message": "64KiB"}))
        self.assertIn("5.3.4", c.say("MAIL FROM:<a@x.test> SIZE=65537", 552).text)
        c.say("MAIL FROM:<a@x.test> SIZE=65536", 250)

    def test_real_size_too_large(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink, limits={"message": "64KiB"}))
        c.envelope()
        c.say("DATA", 354)
        self.assertEqual(c.content(stuffed(body(100 * KIB))).code, 552)
        self.assertEqual(c.message().code, 250)
        self.assertEqual(len(sink.messages()), 1)

    def test_bodies_beyond_the_budget_get_452(self):
        sink = self.sink()
        p = self.postern(sink, limits={"body_memory": "16KiB", "bodies_memory": "64KiB", "bodies_disk": "64KiB"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        self.assertEqual(c.content(stuffed(body(600 * KIB))).code, 452)
        self.assertEqual(c.message().code, 250)
        self.assertEqual(len(sink.messages()), 1)

    def test_body_byte_by_byte(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.envelope()
        c.say("DATA", 354)
        c.trickle(b"Subject: t\r\n\r\n..dot\r\n.\r\n")
        c.expect(250)
        self.assertEqual(self.only_message(sink).content, b"Subject: t\r\n\r\n.dot\r\n")

    def test_end_split_at_each_byte(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        end = b"\r\n.\r\n"
        for cut in range(1, len(end)):
            c.envelope()
            c.say("DATA", 354)
            c.send(b"Subject: t\r\n\r\nbody" + end[:cut])
            self.assertTrue(c.quiet(0.2), "an answer before the end")
            c.send(end[cut:])
            c.expect(250)
        self.assertEqual({m.content for m in sink.messages()}, {b"Subject: t\r\n\r\nbody\r\n"})
        self.assertEqual(len(sink.messages()), len(end) - 1)


class Pipelining(Case):
    GROUP = (b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<refuse550@y.test>\r\n"
             b"RCPT TO:<c@y.test>\r\nDATA\r\n")

    def test_a_group_in_one_segment(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.send(self.GROUP)
        self.assertEqual([c.reply().code for _ in range(5)], [250, 250, 550, 250, 354])
        self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)
        self.assertEqual(self.only_message(sink).recipients, ["b@y.test", "c@y.test"])

    def test_split_at_every_byte(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        for cut in range(1, len(self.GROUP), 3):
            c.send(self.GROUP[:cut])
            c.send(self.GROUP[cut:])
            self.assertEqual([c.reply().code for _ in range(5)], [250, 250, 550, 250, 354], cut)
            self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)

    def test_upstream_without_pipelining_gets_one_command_at_a_time(self):
        sink = self.sink(extensions=("SIZE", "8BITMIME"), rules=[{"at": "RCPT", "delay": 0.1}])
        c = self.ready_client(self.postern(sink))
        c.send(self.GROUP)
        self.assertEqual([c.reply().code for _ in range(5)], [250, 250, 550, 250, 354])
        self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)
        self.assertEqual(self.only_message(sink).recipients, ["b@y.test", "c@y.test"])

    def test_next_transaction_behind_the_final_dot(self):
        sink = self.sink(delay=0.2)
        c = self.ready_client(self.postern(sink))
        one = b"Subject: %d\r\n\r\nx\r\n.\r\n"
        c.send(self.GROUP)
        self.assertEqual([c.reply().code for _ in range(5)], [250, 250, 550, 250, 354])
        c.send(one % 1 + self.GROUP)
        self.assertEqual([c.reply().code for _ in range(6)], [250, 250, 250, 550, 250, 354])
        c.send(one % 2 + b"QUIT\r\n")
        self.assertEqual([c.reply().code for _ in range(2)], [250, 221])
        self.assertEqual([m.content[:10] for m in sink.messages()], [b"Subject: 1", b"Subject: 2"])

    def test_hundreds_of_recipients_in_one_burst(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        names = [("refuse550" if i % 7 == 3 else "r") + f"{i}@y.test" for i in range(900)]
        c.send(b"MAIL FROM:<a@x.test>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % n.encode() for n in names) + b"DATA\r\n")
        c.expect(250)
        self.assertEqual([c.reply().code for _ in names], [550 if n.startswith("refuse") else 250 for n in names])
        c.expect(354)
        self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)
        self.assertEqual(self.only_message(sink).recipients, [n for n in names if not n.startswith("refuse")])

    def test_all_recipients_refused_and_data_behind(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink))
        c.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<refuse550@y.test>\r\nDATA\r\n")
        self.assertEqual([c.reply().code for _ in range(3)], [250, 550, 503])
        c.say("RCPT TO:<b@y.test>", 250)
        c.say("DATA", 354)
        self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)

    def test_talking_before_the_greeting_is_refused(self):
        p = self.postern(self.sink())
        with socket.create_connection(("127.0.0.1", p.port)) as s:
            s.sendall(b"EHLO early\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n")
            got = b""
            s.settimeout(10)
            try:
                while data := s.recv(4096):
                    got += data
            except ConnectionError:
                pass
        self.assertNotIn(b"354", got)
        self.assertIn(b"554 5.5.0", got)

    def test_talking_before_the_reply_where_one_must_wait(self):
        cases = (b"EHLO me\r\nMAIL FROM:<a@x.test>\r\n",
                 b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nSubject: x\r\n",
                 b"NOOP\r\nNOOP\r\n", b"VRFY x\r\nRSET\r\n")
        sink = self.sink(rules=[{"at": "RCPT", "delay": 0.3}])
        p = self.postern(sink)
        for data in cases:
            with self.subTest(data=data):
                c = self.ready_client(p)
                c.send(data)
                self.assertIn(554, self.codes_until_closed(c))
        self.assertEqual(sink.messages(), [])

    def codes_until_closed(self, c):
        codes = []
        try:
            while True:
                codes.append(c.reply().code)
        except (Closed, ConnectionError):
            return codes


class Limits(Case):
    def test_too_many_recipients(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink, limits={"recipients": 100}))
        c.say("MAIL FROM:<a@x.test>", 250)
        codes = [c.say(f"RCPT TO:<r{i}@y.test>").code for i in range(103)]
        self.assertEqual(codes, [250] * 100 + [452] * 3)
        c.say("DATA", 354)
        self.assertEqual(c.content("Subject: t\r\n\r\nx\r\n").code, 250)
        self.assertEqual(len(self.only_message(sink).recipients), 100)

    def test_too_many_errors(self):
        p = self.postern(self.sink(), limits={"errors": 5})
        c = self.ready_client(p)
        codes = []
        for _ in range(20):
            codes.append(c.say("XYZZY").code)
            if codes[-1] == 421:
                break
        self.assertEqual(codes[-1], 421)
        self.assertLessEqual(len(codes), 6)
        self.assertTrue(c.at_eof())

    def test_too_much_junk(self):
        c = self.ready_client(self.postern(self.sink(), limits={"junk_commands": 10, "errors": 5}))
        codes = []
        while len(codes) < 40 and 421 not in codes:
            codes.append(c.say("NOOP").code)
        self.assertEqual(codes[-1], 421)
        self.assertEqual(set(codes[:10]), {250})

    def test_idle_session_gets_421(self):
        c = self.ready_client(self.postern(self.sink(), timeouts={"command": "1s"}))
        c.expect(421)
        self.assertTrue(c.at_eof())

    def test_slow_content_gets_421(self):
        sink = self.sink()
        c = self.ready_client(self.postern(sink, timeouts={"content": "1s"}))
        c.envelope()
        c.say("DATA", 354)
        c.send(b"Subject: x\r\n")
        c.expect(421)
        self.assertTrue(c.at_eof())
        self.assertEqual(sink.messages(), [])

    def test_transactions_of_a_session(self):
        c = self.ready_client(self.postern(self.sink(), limits={"transactions": 2}))
        self.assertEqual([c.message().code, c.message().code], [250, 250])
        c.say("MAIL FROM:<a@x.test>", 421)


class Log(Case):
    def test_one_line_for_each_transaction(self):
        sink = self.tls_sink()
        p = self.postern(sink, upstreams={"mta": {"tls": "opportunistic", "verify": False}})
        c = self.ready_client(p)
        content = "Subject: t\r\n\r\nbody\r\n"
        reply = c.message("a@x.test", ["b@y.test", "c@y.test"], content)
        c.say("MAIL FROM:<a2@x.test>", 250)
        c.say("RCPT TO:<refuse550@y.test>", 550)
        c.say("RSET", 250)
        line, second = p.transactions(2)[:2]
        queue_id = reply.text.rsplit(" ", 1)[1]
        right = {"listener": "main", "gen": "1", "verdict": "accepted", "from": "a@x.test", "rcpt": "2/2",
                 "to": "b@y.test,c@y.test", "size": str(len(content)), "tls": "-", "upstream_tls": "TLSv1.3",
                 "qid": queue_id, "code": "250", "helo": "client.example.org"}
        self.assertEqual({k: line.get(k) for k in right}, right)
        self.assertTrue(line["client"].startswith("127.0.0.1"), line)
        self.assertEqual(line["upstream"], f"127.0.0.1:{sink.port}")
        for key in ("sid", "time", "ms", "filter_ms", "upstream_ms", "stage"):
            self.assertTrue(line.get(key), (key, line))
        self.assertEqual((second["rcpt"], second["sid"]), ("0/1", line["sid"]))

    def test_refusals_end_with_the_session_id_of_the_log(self):
        p = self.postern(self.sink(), limits={"message": "1KiB"})
        c = self.ready_client(p)
        c.envelope()
        c.say("DATA", 354)
        reply = c.content("Subject: t\r\n\r\n" + "x" * 2000 + "\r\n")
        self.assertEqual(reply.code, 552)
        self.assertIn(p.transactions()[-1]["sid"], reply.lines[-1])

    def test_what_clients_send_cannot_break_a_line(self):
        p = self.postern(self.sink())
        c = self.client(p)
        c.expect(220)
        c.say(b"EHLO \x1b]0;x\"=%s%n\x07")
        c.say("EHLO ok.example", 250)
        c.say('MAIL FROM:<"a\\"b =|%s%n"@x.test>')
        c.say("RCPT TO:<b@y.test>")
        c.say("RSET")
        p.transactions()
        for line in p.log().splitlines():
            self.assertRegex(line, r"^[\x20-\x7e]*$")

    def test_json(self):
        import json
        p = self.postern(self.sink(), log={"format": "json"})
        c = self.ready_client(p)
        self.assertEqual(c.message('"q\\"uote"@x.test').code, 250)
        line = p.wait_log('"event":"transaction"')
        self.assertEqual(json.loads(line)["verdict"], "accepted")
        for text in p.log().splitlines():
            if text.startswith("{"):
                json.loads(text)


if __name__ == "__main__":
    unittest.main()
