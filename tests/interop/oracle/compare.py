# SPDX-License-Identifier: MIT
"""Compares the two plays of one script: replies in order, how it ended, and the messages that were committed.

    differences(direct, through, used)  ->  ([Difference(…)], True), the list empty when they are alike

Each play must also be honest in itself: as many messages committed as were acknowledged. An accepted difference
(accepted.py) may be one after which the two sessions are no longer in the same state; then the comparison of
replies ends there, and of the messages those are compared that were acknowledged until then.
"""
import collections
import dataclasses
import itertools
import re

from tests.interop.oracle import accepted
from tests.interop.oracle.play import Said, Transcript

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
        text = self.plain(text)
        for pattern, instead in UNLIKE:
            text = pattern.sub(instead, text)
        return text

    def plain(self, text):
        return text.replace(self.nonce.decode(), "NONCE")

    def plain_words(self, words, forgiven=()):
        return tuple(self.plain(w) for w in words if w.partition("=")[0] not in forgiven)

    def committed(self, forgiven=()):
        """The messages as comparable values, less some parameters of MAIL."""
        return [(self.plain(m.sender), self.plain_words(m.parameters, forgiven),
                 tuple((self.plain(a), self.plain_words(words)) for a, words in m.recipients),
                 ADDED.sub(b"", m.content).replace(self.nonce, b"NONCE")) for m in self.messages]


@dataclasses.dataclass(frozen=True)
class Difference:
    what: str       # reply, end, messages, direct is not honest, postern is not honest
    label: str      # what was answered
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


@dataclasses.dataclass
class Verdict:
    """What came of the replies."""
    differences: list = dataclasses.field(default_factory=list)
    in_step: int | None = None      # how many replies are in step, where the sessions parted
    forgiven: set = dataclasses.field(default_factory=set)   # parameters of MAIL that need not be alike

    def part(self, at, *differences):
        self.in_step = at
        self.differences = list(differences)
        return self


def compare_replies(direct, through, used, streams):
    a, b = direct.transcript.replies, through.transcript.replies
    verdict = Verdict()
    for i, (x, y) in enumerate(itertools.zip_longest(a, b)):
        x, y = x or Said(y.label, 0, (direct.transcript.end,)), y or Said(x.label, 0, (through.transcript.end,))
        xs, ys = direct.said(str(x)), through.said(str(y))
        if xs == ys:
            continue
        rule = accepted.rule_for(x, y, streams)
        if rule is None:
            return verdict.part(i, Difference("reply", x.label, xs, ys))
        used[rule.name] += 1
        if rule.parts:
            return verdict.part(i)
        verdict.forgiven.update(rule.forgives)
    if direct.transcript.end != through.transcript.end:
        return verdict.part(len(a), Difference("end", a[-1].label, direct.transcript.end, through.transcript.end))
    return verdict


def compare_messages(direct, through, verdict):
    """All of them; where the sessions parted, those that were acknowledged before."""
    a, b = (collections.Counter(p.committed(verdict.forgiven)) for p in (direct, through))
    if verdict.in_step is None and a == b:
        return []
    if verdict.in_step is not None and (a & b).total() >= acknowledged(direct.transcript.replies[:verdict.in_step]):
        return []
    return [Difference("messages", "", repr(sorted(a - b))[:600], repr(sorted(b - a))[:600])]


def differences(direct, through, used, streams=False):
    """The differences, and whether the sessions were compared to their end, or the rudeness before it. `used` counts
    the rules that applied."""
    verdict = compare_replies(direct, through, used, streams)
    found = verdict.differences + honesty(direct, "direct") + honesty(through, "postern")
    parted = direct.transcript.replies[verdict.in_step:][:1] if verdict.in_step is not None else []
    return found or compare_messages(direct, through, verdict), not any(r.label[:5] != "after" for r in parted)
