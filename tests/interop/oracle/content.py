# SPDX-License-Identifier: MIT
"""Contents of messages: legal ones with everything that a relay could spoil, and hostile ones."""
from tests.interop.oracle.script import stuffed

WORDS = ("the", "quick", "brown", "fox", "From here", "--boundary", "=20", "tab\there")
TOO_BIG = 21000  # more than the servers' SIZE


def line(random):
    kind = random.randrange(12)
    if kind == 0:
        return b""
    if kind == 1:
        return b"." * random.randint(1, 4)
    if kind == 2:
        return b"." + b" dots lead".replace(b" ", random.choice((b" ", b".")))
    if kind == 3:
        return bytes(random.choice((0xe4, 0xf6, 0xfc, 0xc3, 0xbc, 0xff)) for _ in range(random.randint(1, 20)))
    if kind == 4:
        return b"x" * random.choice((70, 500, 990, 998))
    if kind == 5:
        return b" " * random.randint(1, 9) + b"\t"
    return " ".join(random.choice(WORDS) for _ in range(random.randint(1, 9))).encode()


def header(random):
    lines = [b"Subject: @NONCE@", b"Date: Thu, 1 Jan 1970 00:00:00 +0000", b"From: <s@x.test>",
             b"Message-ID: <@NONCE@@x.test>"]
    if random.random() < 0.06:
        lines.append(b"X-Refuse: yes")
    if random.random() < 0.2:
        lines += [b"X-Folded: one", b"\ttwo", b" three"]
    if random.random() < 0.1:
        lines.append(b"X-8bit: \xc3\xbc\xff")
    return lines


def lines_of(random, big):
    kind = random.randrange(20)
    if kind == 0:
        return []
    if kind == 1:
        return header(random)
    if kind == 2:
        return [b"", b"no header, @NONCE@", *(line(random) for _ in range(3))]
    if kind == 3 and big:
        return [*header(random), b""] + [b"y" * 75] * (TOO_BIG // 77)
    if kind == 4:
        return [b"not a header line @NONCE@", b"", b"text"]
    return [*header(random), b"", *(line(random) for _ in range(random.randint(0, 30)))]


def content(random, big=True):
    """A legal content as it was written, its lines ended; it has NONCE unless it is empty. big: it may be too big."""
    return b"".join(each + b"\r\n" for each in lines_of(random, big))


def hostile_content(random):
    """Bare CR, bare LF or NUL somewhere in a body, and sometimes an end that is none."""
    spoilt = random.choice((b"a\nb", b"a\rb", b"a\0b", b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n",
                            b"a\r\r\nb"))
    tail = b"\r\nRSET\r\n" if random.random() < 0.5 else b"\r\n"
    return stuffed(b"\r\n".join([*header(random), b"", b"text", b"x"])) + spoilt + tail
