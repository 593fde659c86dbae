# SPDX-License-Identifier: MIT
"""The tables that scripts are made of: addresses, parameters, errors, rudeness. (word, extension it needs)"""

LONG = "l" * 60

SENDERS = [(w, "") for w in (
    *["s-@NONCE@@x.test"] * 8, "", "S.Upper-@NONCE@@X.Test", '"a b"@x.test', '"a\\"b"@x.test', '"a@b"@x.test',
    "s+tag-@NONCE@@x.test", "a!b@x.test", "a%b@x.test", f"{LONG}@x.test", "s-@NONCE@@[127.0.0.1]", "s@xn--p1ai.test",
    "refuse550-@NONCE@@y.test", "defer451-@NONCE@@y.test", "a/b=c@x.test", "s-@NONCE@@sub.sub.sub.x.test")]

RECIPIENTS = [(w, "") for w in (
    *["r-@NONCE@@y.test"] * 10, *["q-@NONCE@@y.test"] * 4, "R-@NONCE@@Y.Test", '"a b-@NONCE@"@y.test',
    "r+tag-@NONCE@@y.test", "refuse550-@NONCE@@y.test", "defer451-@NONCE@@y.test", "r-@NONCE@@elsewhere.test",
    "Postmaster-@NONCE@@y.test", "a.b.c-@NONCE@@y.test", "o'neil-@NONCE@@y.test")]

MAIL_PARAMETERS = (
    ("SIZE=100", "SIZE"), ("SIZE=0", "SIZE"), ("size=100", "SIZE"), ("SIZE=999999", "SIZE"),
    ("BODY=8BITMIME", "8BITMIME"), ("BODY=7BIT", "8BITMIME"), ("body=8bitmime", "8BITMIME"),
    ("RET=FULL", "DSN"), ("RET=HDRS", "DSN"), ("ENVID=abc+2Bdef", "DSN"), ("ENVID=x", "DSN"),
    ("SMTPUTF8", "SMTPUTF8"), ("AUTH=<>", "AUTH"), ("SIZE=1", "SIZE"))

RCPT_PARAMETERS = (
    ("", ""), ("NOTIFY=NEVER", "DSN"), ("NOTIFY=SUCCESS,FAILURE", "DSN"), ("NOTIFY=DELAY", "DSN"),
    ("ORCPT=rfc822;r@y.test", "DSN"), ("notify=failure", "DSN"))

SMALL_TALK = [(w, "") for w in ("NOOP", "NOOP x", "RSET", "VRFY r@y.test", "HELP", "noop", "HELP MAIL", "rset")]

ERRORS = [(w, "") for w in (
    # not commands
    "", " ", "XYZZY", "XYZZY a b c", "MAILFROM:<a@x.test>", "LHLO client", "GARBAGE\x01", "QUITT", "\tNOOP", " NOOP",
    # state
    "DATA", "RCPT TO:<r@y.test>", "MAIL FROM:<twice@x.test>", "EHLO again.example.org", "HELO again.example.org",
    # arguments
    "EHLO", "HELO", "EHLO a b", "EHLO bad_name", "HELO ..", "DATA now", "RSET now", "VRFY", "RSET ", "DATA ",
    "EXPN list", "ETRN y.test", "TURN", "STARTTLS now", "AUTH XYZZY abc",
    # paths
    "MAIL", "MAIL FROM", "MAIL FROM:", "MAIL FROM:a@x.test", "MAIL FROM: <a@x.test>", "MAIL FROM:<a@x.test",
    "MAIL FROM:<<a@x.test>>", "MAIL TO:<a@x.test>", "MAIL FROM:<a b@x.test>", "MAIL FROM:<a@x..test>",
    "MAIL FROM:<@x.test>", "MAIL FROM:<a@>", "MAIL FROM:<a>", "MAIL FROM:<.a@x.test>", "MAIL FROM :<a@x.test>",
    "MAIL FROM:<a@-x.test>", "MAIL FROM:<a@x_y.test>", "MAIL FROM:<@r.test:a@x.test>", "MAIL FROM:<a@[1.2.3]>",
    "MAIL FROM:<a@[IPv6:::1]>", f"MAIL FROM:<{'l' * 65}@x.test>", f"MAIL FROM:<a@{'d' * 64}.test>",
    "MAIL FROM:<a@x.test>junk", "MAIL FROM:<a@x.test> ", "MAIL FROM:<a\u00fc@x.test>", "MAIL  FROM:<a@x.test>",
    "RCPT", "RCPT TO:", "RCPT TO:<>", "RCPT TO:r@y.test", "RCPT TO: <r@y.test>", "RCPT TO:<r@y.test",
    "RCPT TO:<r b@y.test>", "RCPT TO:<r@y.test>junk", "RCPT TO:<@y.test>", "RCPT TO:<r@>",
    "RCPT TO:<@a.test:r@y.test>", "RCPT FROM:<r@y.test>", "RCPT TO:<r@y.test> NOTIFY=MAYBE",
    "RCPT TO:<r@y.test> XYZ=1", "RCPT TO:<\u00fc@y.test>", "RCPT TO:<\"\"@y.test>", "RCPT TO:<postmaster>",
    "RCPT TO:<r@y.test> ", "RCPT TO:<r%y.test@y.test>",
    # parameters
    "MAIL FROM:<a@x.test> XYZ=1", "MAIL FROM:<a@x.test> XYZ", "MAIL FROM:<a@x.test> SIZE=abc",
    "MAIL FROM:<a@x.test> SIZE=",
    "MAIL FROM:<a@x.test> SIZE=-1", "MAIL FROM:<a@x.test> SIZE=99999999999999999999", "MAIL FROM:<a@x.test> BODY=FOO",
    "MAIL FROM:<a@x.test> SIZE=1 SIZE=2", "MAIL FROM:<a@x.test> =", "MAIL FROM:<a@x.test> RET=SOME",
    "MAIL FROM:<a@x.test> ENVID=+GG", "MAIL FROM:<a@x.test>  SIZE=1",
    # length
    f"NOOP {'x' * 500}", f"NOOP {'x' * 3000}", f"MAIL FROM:<a@x.test> {'X' * 600}", f"XYZZY {'x' * 5000}",
    f"RCPT TO:<{'r' * 300}@y.test>", f"EHLO {'h' * 300}")]


UNFINISHED = ("content unfinished", "half a command")
# What can leave bytes behind the end of a message before its reply: Debian's OpenSMTPD dies of it, so it is spared.
BEHIND_THE_END = ("bare newline in content", "content before 354")


def rude(random, hostile_content):
    """(weight, (kind, units that are answered first, units nobody can count the replies of)). What is UNFINISHED
    would swallow a QUIT."""
    envelope = [b"MAIL FROM:<s-@NONCE@@x.test>\r\n", b"RCPT TO:<r-@NONCE@@y.test>\r\n"]
    body = b"Subject: @NONCE@\r\n\r\n" + b"text\r\n" * random.randint(1, 50)
    return (
        (3, ("content unfinished", [*envelope, b"DATA\r\n"], [body])),
        (6, ("bare newline in content", [*envelope, b"DATA\r\n"], [hostile_content(random) + b".\r\n"])),
        (2, ("bare LF ends a command", [], [b"MAIL FROM:<a@x.test>\nRCPT TO:<r-@NONCE@@y.test>\r\n"])),
        (1, ("bare CR in a command", [], [b"MAIL FROM:<a@x\r.test>\r\n"])),
        (1, ("NUL in a command", [], [b"MAIL FROM:<a\0b@x.test>\r\n"])),
        (2, ("8-bit command", [], [b"MAIL FROM:<\xff\xfe@x.test>\r\n"])),
        (2, ("content before 354", envelope, [b"DATA\r\n" + body + b".\r\n"])),
        (2, ("commands behind EHLO", [], [b"EHLO rude.example.org\r\nMAIL FROM:<a@x.test>\r\n"])),
        (1, ("commands behind QUIT", [], [b"QUIT\r\nMAIL FROM:<a@x.test>\r\n"])),
        (1, ("half a command", [], [b"MAIL FR"])),
        (1, ("commands behind NOOP", [], [b"NOOP\r\nNOOP\r\n"])),
        (1, ("commands behind VRFY", [], [b"VRFY r@y.test\r\nNOOP\r\n"])),
    )
