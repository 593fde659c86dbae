# SPDX-License-Identifier: MIT
"""Makes a failing script smaller, as long as it fails in the same way, and tells of failures.

Each round plays all candidates at once: the script without one of its steps, or with a step made simpler. The first
that still fails is the next script; when none does, it is as small as it gets.
"""
import dataclasses
import time

from tests.interop.oracle.script import Script

ROUNDS = 40
TOLD = 6       # kinds of failures that are shrunk and told whole
LONGEST_RUN = 20
SECONDS = 240  # for all of it
PATIENCE = 4.0  # for a reply: many a smaller script waits for one in vain


def simpler_steps(step):
    """The step without its cuts, or without one of its units."""
    if step.cuts:
        yield dataclasses.replace(step, cuts=())
    if len(step.units) > 1:
        for i in range(1 if step.needs else 0, len(step.units)):  # the first is what was asked for
            yield dataclasses.replace(step, units=step.units[:i] + step.units[i + 1:], cuts=())
    for i, unit in enumerate(step.units):
        lines = unit.split(b"\r\n")
        if len(lines) > 8:  # a content: without its second half, but for the end
            shorter = b"\r\n".join(lines[:len(lines) // 2] + lines[-2:])
            if not unit.upper().startswith(b"BDAT"):
                yield dataclasses.replace(step, units=(*step.units[:i], shorter, *step.units[i + 1:]), cuts=())


def fewer_steps(steps):
    """Without any run of steps."""
    for i in range(len(steps)):
        for j in range(i + 1, min(len(steps), i + LONGEST_RUN) + 1):
            yield steps[:i] + steps[j:]


def candidates(script):
    for steps in fewer_steps(script.steps):
        yield dataclasses.replace(script, steps=steps)
    for i, step in enumerate(script.steps):
        for simpler in simpler_steps(step):
            yield dataclasses.replace(script, steps=(*script.steps[:i], simpler, *script.steps[i + 1:]))
    if script.ending != "quit":
        yield dataclasses.replace(script, ending="quit")


def shrink(rig, failure, until=None):
    """The smallest failure of the same kind that was found until that time."""
    until = until or time.monotonic() + SECONDS
    for _ in range(ROUNDS):
        if time.monotonic() > until:
            break
        smaller = list(candidates(failure.script))
        same = [f for f in rig.check(smaller).failures if f.kind() == failure.kind()] if smaller else []
        if not same:
            break
        failure = min(same, key=lambda f: len(f.script.dumps()))
    return failure


def tell(rig, report):
    """What failed, as text: one shrunk script of each kind, and the seeds of the others."""
    kinds = {}
    for failure in report.failures:
        kinds.setdefault(failure.kind(), []).append(failure)
    told, until = [], time.monotonic() + SECONDS
    rig.how = dataclasses.replace(rig.how, patience=PATIENCE)
    for same in sorted(kinds.values(), key=len, reverse=True)[:TOLD]:
        small = shrink(rig, same[0], until)
        seeds = ", ".join(f.script.seed for f in same[:20])
        told.append(f"{len(same)} × {small.differences[0]}\n  seeds {seeds}\n  the first, shrunk:\n"
                    + small.script.dumps())
    if len(kinds) > TOLD:
        told.append(f"and {len(kinds) - TOLD} other kinds")
    return "\n\n".join(told)


def replay(rig, text):
    """Plays a printed script; what differs, as text."""
    return "\n".join(str(d) for f in rig.check([Script.loads(text)]).failures for d in f.differences)
