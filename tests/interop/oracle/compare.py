# SPDX-License-Identifier: MIT
"""Compares the two plays of one script: replies in order, how it ended, and the messages that were committed.

    differences(direct, through)  ->  [Difference(…)], empty when they are alike

Each play must also be honest in itself: as many messages committed as were acknowledged. An accepted difference
(accepted.py) may be one after which the two sessions are no longer in the same state; then the comparison of
replies ends there, and of the messages those are compared that were acknowledged until then.
"""
import collections
import dataclasses
import re

from tests.interop.oracle import accepted
from tests.interop.oracle.play import Transcript

UNLIKE = (  # what differs between any two sessions: (pattern, instead)
    (re.compile(r"queued as [0-9A-Za-z]+"), "queued as ID"),              # Postfix, the sink, aiosmtpd
    (re.compile(r"\bid=[0-9A-Za-z]{6}-[0-9A-Za-z]+-[0-9A-Za-z]+"), "id=ID"),  # Exim
    (re.compile(r"\b[0-9a-f]{8} Message accepted"), "ID Message accepted"),   # OpenSMTPD
    (re.compile(r" \([0-9a-f]{6,}\)$"), ""),                    # postern
)
QUEUED = re.compile(r"^250.*(queued as|\bid=|Message accepted)")
ADDED = re.compile(  # by OpenSMTPD, where a header has none
    rb"^(?:Date: (?!Thu, 1 Jan 1970)[^\r\n]*|Message-ID: <[0-9a-f]{16}@smtpd\.example\.org>)\r\n", re.M)


@dataclasses.dataclass
class Play:
    """What one play of a script came to."""
    transcript: Transcript
    nonce: bytes
    messages: list = dataclasses.field(default_factory=list)

    def said(self, text):
        text = text.replace(self.nonce.decode(), "NONCE")
        for pattern, instead in UNLIKE:
            text = pattern.sub(instead, text)
        return text

    def committed(self):
        """The messages as comparable values."""
        def plain(value):
            return value.replace(self.nonce.decode(), "NONCE")

        def plain_all(values):
            return tuple(map(plain, values))
        return [(plain(m.sender), plain_all(m.parameters), tuple((plain(a), plain_all(ps)) for a, ps in m.recipients),
                 ADDED.sub(b"", m.content).replace(self.nonce, b"NONCE")) for m in self.messages]


@dataclasses.dataclass(frozen=True)
class Difference:
    what: str       # reply, end, messages, direct is not honest, postern is not honest
    label: str
    direct: str
    through: str

    def __str__(self):
        return f"{self.what}: {self.label}\n    direct   {self.direct}\n    through  {self.through}"


def acknowledged(replies):
    return sum(bool(QUEUED.search(str(r))) for r in replies)


def honesty(play, who):
    took, kept = acknowledged(play.transcript.replies), len(play.messages)
    if play.transcript.end == "left" or took == kept:
        return []  # who leaves may not have read the last reply
    return [Difference(f"{who} is not honest", "", f"{took} acknowledged", f"{kept} committed")]


def compare_replies(direct, through, used):
    """(differences, the number of replies that are in step: None when all are)"""
    a, b = direct.transcript.replies, through.transcript.replies
    for i, (x, y) in enumerate(zip(a, b)):
        xs, ys = direct.said(str(x)), through.said(str(y))
        if xs == ys:
            continue
        rule = accepted.rule_for(x, y)
        if rule is None:
            return [Difference("reply", x.label, xs, ys)], i
        used[rule.name] += 1
        if rule.parts:
            return [], i
    n = min(len(a), len(b))
    if len(a) != len(b):
        more = [" | ".join([*map(str, p.transcript.replies[n:]), p.transcript.end]) for p in (direct, through)]
        return [Difference("number of replies", max(a, b, key=len)[n].label, *more)], n
    if direct.transcript.end != through.transcript.end:
        return [Difference("end", a[-1].label, direct.transcript.end, through.transcript.end)], n
    return [], None


def compare_messages(direct, through, in_step):
    """All of them; where the sessions parted, those that were acknowledged before."""
    a, b = collections.Counter(direct.committed()), collections.Counter(through.committed())
    if in_step is None and a == b:
        return []
    if in_step is not None and (a & b).total() >= acknowledged(direct.transcript.replies[:in_step]):
        return []
    return [Difference("messages", "", repr(sorted(a - b))[:600], repr(sorted(b - a))[:600])]


def differences(direct, through, used=None):
    used = collections.Counter() if used is None else used
    found, in_step = compare_replies(direct, through, used)
    found += honesty(direct, "direct") + honesty(through, "postern")
    return found or compare_messages(direct, through, in_step)
