# SPDX-License-Identifier: MIT
"""A client script as data: what is sent, in which segments, and how many replies are awaited.

    Script("postfix:17", steps=(Step(units=(b"EHLO me\\r\\n",)), …), ending="quit")

A unit earns exactly one reply: a command line, a content with its end, a chunk with its BDAT. The units of one
step go out together, cut into segments at `cuts`, and then their replies are awaited. A script is printable and can
be played again from what is printed: Script.loads(text).

NONCE in the bytes stands for a word of the same length that differs at every play, so that the messages of a play
can be found again, and lengths stay.

Where a server lacks PIPELINING or CHUNKING and postern offers it all the same, the server itself is played another
script of the same meaning: without("PIPELINING") sends one by one, without("CHUNKING") says DATA.
"""
import ast
import dataclasses
import re

NONCE = b"@NONCE@"
CHUNK = re.compile(rb"BDAT \d+( LAST)?\r\n", re.I)
CHUNKS = "BDAT LAST"  # what the only reply to a chunked content is listed under


@dataclasses.dataclass(frozen=True)
class Step:
    units: tuple            # bytes, one reply each
    cuts: tuple = ()        # offsets at which the bytes of all units are cut into segments
    needs: int = 0          # only when the last reply had this code
    rude: str = ""          # what is wrong with it; its replies are not awaited, nor is their number known
    label: str = ""         # what its reply is listed under, where the unit does not say it

    def segments(self, nonce):
        data = b"".join(self.units).replace(NONCE, nonce)
        places = sorted({c for c in self.cuts if 0 < c < len(data)})
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)])]

    def apart(self):
        """The same in steps of one unit each, all of which were sent or none."""
        return [dataclasses.replace(self, units=(unit,), cuts=()) for unit in self.units]


@dataclasses.dataclass(frozen=True)
class Script:
    seed: str
    steps: tuple
    ending: str = "quit"    # quit: QUIT, then all to the end is read; close, reset: left so
    early: bytes = b""      # said before the greeting
    hurried: bool = True    # the units of a step go out together; else one after the other

    def without(self, lacking):
        """The same for a server that lacks these extensions."""
        if "CHUNKING" not in lacking and "PIPELINING" not in lacking:
            return self
        steps = tuple(with_data(self.steps)) if "CHUNKING" in lacking else self.steps
        return dataclasses.replace(self, steps=steps, hurried="PIPELINING" not in lacking)

    def dumps(self):
        lines = [f"{self.seed!r}, ending={self.ending!r}, early={self.early!r}"]
        for s in self.steps:
            notes = [f"{n}={getattr(s, n)!r}" for n in ("cuts", "needs", "rude") if getattr(s, n)]
            lines.append("  " + ", ".join([repr(s.units), *notes]))
        return "\n".join(lines)

    @staticmethod
    def loads(text):
        """The script that dumps() printed."""
        first, *rest = [line.strip() for line in text.strip().splitlines()]
        seed, options = call(first)
        steps = tuple(Step(tuple(units), **notes) for units, notes in map(call, rest))
        return Script(seed, steps, **options)


def call(text):
    """'VALUE, name=VALUE, …' as (value, {name: value}); values are literals."""
    node = ast.parse(f"f({text})", mode="eval").body
    named = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    return ast.literal_eval(node.args[0]), named


def with_data(steps):
    """BDAT … BDAT LAST as DATA and content, which has one reply that counts: the last."""
    payload = b""
    for step in steps:
        plain = []
        for unit in step.units:
            head = CHUNK.match(unit)
            if not head:
                plain.append(unit)
                continue
            payload += unit[head.end():]
            if head[1]:
                if plain:
                    yield dataclasses.replace(step, units=tuple(plain), cuts=())
                yield Step((b"DATA\r\n",), label=CHUNKS)
                yield Step((stuffed(payload) + b".\r\n",), needs=354, label=CHUNKS)
                payload, plain = b"", []
        if plain:
            yield step if len(plain) == len(step.units) else dataclasses.replace(step, units=tuple(plain), cuts=())


def stuffed(content):
    return re.sub(rb"(?m)^\.", b"..", content)
