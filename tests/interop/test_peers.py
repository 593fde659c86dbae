# SPDX-License-Identifier: MIT
"""Peers' own test suites, unmodified, through postern.

Each piece of a suite runs twice in a network namespace of its own: directly, and with all TCP over loopback
redirected to postern (`intercept: redirect`; only postern's own connections are exempt). A test that passes directly
and fails through postern is a difference. Each must be in peers/differences.txt with its reason, and each that is
there must still be one: the list can neither grow nor go stale unnoticed.

    python3 -m tests.interop.test_peers --show [SUITE…]     runs them and prints the differences, without judging
"""
import concurrent.futures
import contextlib
import pathlib
import sys
import unittest

from tests.interop.peers.suites import SUITES, prepare
from tests.support import net
from tests.support.case import certificates
from tests.support.daemon import Postern, config
from tests.support.netns import Network

LIST = pathlib.Path(__file__).with_name("peers") / "differences.txt"
PORT = 2526
AT_ONCE = 4   # pieces, each of them both ways
TRIES = 3  # of a test that does not end as the list says: the suites have timing of their own


def settings(piece):
    """As a user would set it for clients of every kind: postern adds nothing but its presence."""
    result = config(1, port=PORT)
    listener = {"bind": [f"127.0.0.1:{PORT}", f"[::1]:{PORT}"], "intercept": "redirect", "deny": [], "policy": "main",
                "tls": "mirror", "certificate": "main", "auth_needs_tls": False, "enforce_sync": False,
                "vrfy": "relay", "expn": "relay"}
    del result["upstreams"]
    if piece.implicit:
        listener.update(tls="implicit", upstream="toward")
        result["upstreams"] = {"toward": {"servers": ["127.0.0.1:1"], "tls": "implicit", "verify": False}}
    result["listeners"] = {"main": listener}
    pair = piece.certificate or (certificates().good.certificate, certificates().good.key)
    result["certificates"] = {"main": {"certificate": pair[0], "key": pair[1]}}
    return result


def run_directly(piece, only=()):
    with Network():
        return piece.run(piece, only)


def run_through(piece, only=()):
    with Network() as network, net.folder() as folder:
        with Postern(folder, settings(piece)):
            network.redirect(PORT, f'oifname "lo" tcp dport != {PORT}')
            return piece.run(piece, only)


def differences_of(piece, only=()):
    """The tests that passed directly, and those of them that did not through postern."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        direct, through = (f.result() for f in [pool.submit(run_directly, piece, only),
                                                pool.submit(run_through, piece, only)])
    passed = {name for name, good in direct.items() if good}
    return passed, {name for name in passed if not through.get(name)}


def read_list():
    """{suite: {test: always?}} from the list, and that it is in order."""
    reasons, used, listed = {}, set(), {suite: {} for suite in SUITES}
    for number, line in enumerate(LIST.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("reason "):
            _, word, text = line.split(None, 2)
            reasons[word] = text
            continue
        always = not line.startswith("sometimes ")
        suite, _, rest = line.removeprefix("sometimes ").partition(" ")
        test, _, word = rest.rpartition(" ")
        if word not in reasons or suite not in listed or test in listed[suite]:
            raise AssertionError(f"{LIST.name}:{number}: no such suite or reason, or twice the same test: {line}")
        listed[suite][test] = always
        used.add(word)
    if used != set(reasons):
        raise AssertionError(f"{LIST.name}: reasons that no line uses: {set(reasons) - used}")
    return listed


class Peers(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        prepare()

    def check(self, suite, at_least):
        listed = read_list()[suite]
        pieces = SUITES[suite]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(differences_of, pieces))
        passed = set().union(*(direct for direct, _ in found))
        wrong = []
        for piece, (direct, differences) in zip(pieces, found):
            differences -= {test for test, always in listed.items() if not always}
            known = {test for test, always in listed.items() if always and test in direct}
            wrong += self.still_wrong(piece, known, differences)
        wrong += [f"listed, but it does not pass directly (any more): {test}" for test in sorted(set(listed) - passed)]
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(len(passed), at_least, "the suite has lost tests")

    def still_wrong(self, piece, known, differences):
        """What is not as the list says, also when it is tried again by itself."""
        odd = known ^ differences
        for _ in range(TRIES - 1):
            if odd:
                direct, again = differences_of(piece, sorted(odd))
                odd = {test for test in odd & direct if (test in again) != (test in known)}
        return [f"{'listed, but no difference (any more)' if t in known else 'not listed'}: {t}" for t in sorted(odd)]

    def test_smtplib(self):
        self.check("smtplib", 75)

    def test_aiosmtpd(self):
        self.check("aiosmtpd", 530)

    def test_net_smtp(self):
        self.check("net-smtp", 12)

    def test_go_smtp(self):
        self.check("go-smtp", 30)


def show(suites):
    prepare()
    for suite in suites:
        for piece in SUITES[suite]:
            direct, differences = differences_of(piece)
            print(f"# {suite} {piece.name}: {len(direct)} pass directly, {len(differences)} not through postern")
            for test in sorted(differences):
                print(suite, test)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--show"]:
        with contextlib.suppress(BrokenPipeError):
            show(sys.argv[2:] or list(SUITES))
    else:
        unittest.main()
