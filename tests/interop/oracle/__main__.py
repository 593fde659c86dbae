# SPDX-License-Identifier: MIT
"""The transparency oracle by hand:

    python3 -m tests.interop.oracle --server postfix --scripts 2000 --seed 1
    python3 -m tests.interop.oracle --server exim --replay FILE     # a script as it was printed
    python3 -m tests.interop.oracle --server exim --seed 17 --show  # print the script and both transcripts

The build folder is $POSTERN_BUILD, else build/. Exit code 1 when something differs.
"""
import argparse
import collections
import pathlib
import signal
import sys
import tempfile
import time

from tests.interop.oracle import compare, shrink
from tests.interop.oracle.rig import Rig
from tests.support import servers


def arguments():
    p = argparse.ArgumentParser(prog="python3 -m tests.interop.oracle", description=__doc__.splitlines()[0])
    p.add_argument("--server", choices=servers.NAMES, required=True)
    p.add_argument("--scripts", type=int, default=200)
    p.add_argument("--seed", type=int, default=1, help="the number of the first script")
    p.add_argument("--replay", type=pathlib.Path, help="a file with one script, as it was printed")
    p.add_argument("--show", action="store_true", help="one script, with both transcripts")
    p.add_argument("--tls", action="store_true", help="within STARTTLS (Postfix)")
    p.add_argument("--streams", action="store_true", help="bodies are streamed, not held")
    return p.parse_args()


def show(rig, script):
    print(script.dumps())
    direct, through = rig.play_all([script])[0]
    for name, play in (("direct", direct), ("through postern", through)):
        print(f"-- {name}: {play.transcript.end}, {len(play.messages)} messages")
        for said in play.transcript.replies:
            print(f"   {said.label}\n      {said}")
    return "\n".join(map(str, compare.differences(direct, through, collections.Counter())[0]))


def check(rig, first, count):
    start = time.monotonic()
    report = rig.check(rig.scripts(first, count))
    print(f"{report}\n  {time.monotonic() - start:.0f} s", flush=True)
    return shrink.tell(rig, report)


def main():
    a = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    with (tempfile.TemporaryDirectory(prefix="postern-oracle-") as folder,
          Rig(a.server, folder, tls=a.tls, streams=a.streams) as rig):
        if a.replay:
            found = shrink.replay(rig, a.replay.read_text())
        elif a.show:
            found = show(rig, rig.scripts(a.seed, 1)[0])
        else:
            found = check(rig, a.seed, a.scripts)
    print(found or "nothing differs")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
