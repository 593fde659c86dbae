# SPDX-License-Identifier: MIT
"""deploy/intercept itself: all or nothing, twice is harmless, nothing of others is touched, errors that help. What its
rules do to mail: tests/e2e/test_gateway.py."""
import os
import pathlib
import pwd
import subprocess
import unittest

from tests.support import net
from tests.support.case import Case
from tests.support.daemon import ROOT
from tests.support.netns import Hosts

SCRIPT = str(ROOT / "deploy" / "intercept")
RULES = ROOT / "deploy" / "nftables"
ROUTER = ("--place", "router", "--interface", "inner")
BRIDGE = ("--place", "bridge", "--interface", "br0")
OTHERS = """
    table inet others {
        chain prerouting { type nat hook prerouting priority dstnat; tcp dport 8080 redirect to :80
        }
    }
    table ip postern_intercept_of_somebody_else {
    }"""


class Script(Case):
    def lay(self, bridge=False):
        self.hosts = self.stack.enter_context(Hosts(bridge=bridge))
        self.stack.callback(self.hosts.run, "router", SCRIPT, "down")
        self.hosts.run("router", "nft", "-f", "-", text=OTHERS)
        self.hosts.ip("router", "rule add fwmark 7 lookup 77", "route add local default dev lo table 77")
        return self.hosts.state("router")

    def words(self, *words, **options):
        return {"args": [SCRIPT, *words], "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60,
                "check": False, **options}

    def do(self, *words, code=0, **options):
        with self.hosts.on("router"):
            done = subprocess.run(**self.words(*words, **options))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def state(self):
        return self.hosts.state("router")


class UpAndDown(Script):
    KINDS = [(mode, place) for mode in ("redirect", "tproxy") for place in (("--place", "host"), ROUTER, BRIDGE)]

    def test_down_leaves_no_trace(self):
        for mode, place in self.KINDS:
            with self.subTest(mode=mode, place=place):
                before = self.lay(bridge=place is BRIDGE)
                self.assertIn("nothing to take away", self.do("down"))
                self.do("up", "--mode", mode, *place)
                up = self.state()
                self.assertNotEqual(up, before)
                self.do("up", "--mode", mode, *place)
                self.assertEqual(self.state(), up)
                self.do("status")
                self.do("down")
                self.assertEqual(self.state(), before)
                self.assertIn("nothing to take away", self.do("down"))
                self.assertEqual(self.state(), before)
                self.stack.close()

    def test_up_replaces(self):
        """Every kind after every other; what only the one before needed goes, and what there was first comes back."""
        before = self.lay(bridge=True)
        last = {}
        for turn in range(2):
            for mode, place in self.KINDS:
                if place is ROUTER:
                    place = ("--place", "router", "--interface", "br0")
                self.do("up", "--mode", mode, *place, "--table", str(100 + turn))
                now = self.state().replace(f"lookup {100 + turn}", "lookup N").replace(f"table {100 + turn}", "table N")
                self.assertEqual(last.setdefault((mode, place), now), now)
                self.assertIn(f"--mode {mode} {' '.join(place[:2])}", self.do("status"))
        self.do("down")
        self.assertEqual(self.state(), before)

    def test_status(self):
        self.lay()
        self.assertIn("down", self.do("status", code=3))
        self.do("up", "--mode", "tproxy", *ROUTER)
        self.assertIn("0 connections caught", self.do("status"))
        self.hosts.ip("router", "-6 rule del fwmark 0x2000000/0x2000000")
        self.assertRegex(self.do("status", code=1), "gone, .*rule 6 .*fwmark")
        self.hosts.run("router", "nft", "flush", "ruleset")
        self.assertRegex(self.do("status", code=1), "gone, .*table inet")
        self.do("up", "--mode", "tproxy", *ROUTER)
        self.do("status")

    def test_others_flush_everything(self):
        """What firewalls do that are loaded anew: down still takes the rest away."""
        self.lay(bridge=True)
        self.hosts.run("router", "nft", "flush", "ruleset")
        before = self.state()
        self.do("up", "--mode", "tproxy", *BRIDGE)
        self.hosts.run("router", "nft", "flush", "ruleset")
        self.do("down")
        self.assertEqual(self.state(), before)

    def test_settings_that_somebody_changes_meanwhile(self):
        self.lay(bridge=True)
        self.do("up", "--mode", "tproxy", *BRIDGE)
        self.hosts.setting("router", "bridge/bridge-nf-call-iptables", 1)
        self.hosts.setting("router", "bridge/bridge-nf-call-ip6tables", 1)
        self.do("down")
        self.assertIn("bridge-nf-call-iptables 1", self.state())

    def test_dry_run(self):
        before = self.lay(bridge=True)
        said = self.do("up", "--mode", "tproxy", *BRIDGE, "--dry-run")
        for line in ("sysctl -w net/bridge/bridge-nf-call-iptables=0", "ip -6 route add local default dev lo table 2526",
                     "ip -4 rule add priority 100 fwmark 0x2000000/0x2000000 lookup 2526", "nft -f - <<'END'",
                     'define BRIDGE = "br0"'):
            self.assertIn(line + "\n", said)
        self.assertEqual(self.state(), before)
        self.do("up", "--mode", "tproxy", *BRIDGE)
        up = self.state()
        self.assertIn("nft delete table bridge postern_intercept", self.do("down", "--dry-run"))
        self.assertEqual(self.state(), up)

    def test_what_dry_run_prints_does_it(self):
        self.lay(bridge=True)
        said = self.do("up", "--mode", "tproxy", *BRIDGE, "--dry-run")
        self.hosts.run("router", "bash", "-e", text=said)
        by_hand = self.state()
        self.do("up", "--mode", "redirect", *BRIDGE)
        self.assertNotEqual(self.state(), by_hand)


class AllOrNothing(Script):
    def test_a_step_that_fails(self):
        """The last of the steps is somebody else's already: those before it are taken back, and that one stays."""
        self.lay(bridge=True)
        self.hosts.ip("router", "-6 rule add priority 100 fwmark 0x2000000/0x2000000 lookup 2526")
        before = self.state()
        said = self.do("up", "--mode", "tproxy", *BRIDGE, code=1)
        self.assertIn("taking back", said)
        self.assertIn("nothing was changed", said)
        self.assertEqual(self.state(), before)
        self.do("status", code=3)

    def test_in_place_of_another(self):
        """The one before stays."""
        self.lay()
        self.do("up", *ROUTER)
        self.hosts.ip("router", "-6 rule add priority 100 fwmark 0x2000000/0x2000000 lookup 2526")
        before = self.state()
        self.do("up", "--mode", "tproxy", *ROUTER, code=1)
        self.assertEqual(self.state(), before)
        self.assertIn("--mode redirect", self.do("status"))

    def test_a_table_that_others_use(self):
        self.lay()
        before = self.state()
        self.assertIn("choose another with --table", self.do("up", "--mode", "tproxy", *ROUTER, "--table", "77", code=1))
        self.assertEqual(self.state(), before)

    def test_what_nft_refuses(self):
        before = self.lay()
        self.do("up", *ROUTER, "--except", "192.0.2.0/77", code=1)
        self.assertEqual(self.state(), before)

    def test_a_kernel_that_cannot(self):
        before = self.lay()
        tools = self.folder / "tools"
        tools.mkdir()
        nft = tools / "nft"
        nft.write_text("#!/bin/sh\necho 'Error: Could not process rule: No such file or directory' >&2\nexit 1\n")
        nft.chmod(0o755)
        said = self.do("up", "--mode", "tproxy", *ROUTER, code=1, env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
        self.assertIn("nft_tproxy, nft_socket", said)
        self.assertEqual(self.state(), before)


class Confirmed(Script):
    def test_taken_away_unless_confirmed(self):
        before = self.lay()
        said = self.do("up", *ROUTER, "--for", "1", code=1)
        self.assertIn("type yes within 1 seconds", said)
        self.assertEqual(self.state(), before)
        with self.hosts.on("router"):
            done = subprocess.run([SCRIPT, "up", *ROUTER, "--for", "60"], input="yes\n", capture_output=True, text=True,
                                  timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "intercept: kept"))
        self.do("status")

    def test_the_terminal_goes_away(self):
        before = self.lay()
        with self.hosts.on("router"):
            process = subprocess.Popen([SCRIPT, "up", *ROUTER, "--for", "3"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        with process:
            for line in process.stdout:
                if "type yes" in line:
                    break
            process.send_signal(1)
            self.assertIsNone(process.poll())
            net.wait_until(lambda: process.poll() is not None, 20, "the end")
        self.assertEqual(self.state(), before)


class Errors(Script):
    def test_usage(self):
        self.lay()
        for words, says in (((), "up, down or status"), (("sideways",), "up, down or status"),
                            (("up", "--nonsense"), "no option --nonsense"), (("up", "--mode"), "wants a value"),
                            (("up", "--mode", "magic"), "redirect or tproxy"), (("up", "--place", "moon"), "router"),
                            (("up", "--place", "router"), "--interface"), (("up", "--interface", "inner"), "--place router"),
                            (("up", "--ports", "25,smtp"), "'smtp'"), (("up", "--to", "70000"), "'70000'"),
                            (("up", "--except", "all"), "'all'"), (("up", "--clients", "10.0.0.0/8"), "--clients"),
                            (("up", *ROUTER, "--mark", "0x3"), "one bit"), (("up", "--for", "soon"), "'soon'"),
                            (("up", *ROUTER, "--clients", "1.2.3.4; drop"), "networks")):
            with self.subTest(words=words):
                self.assertIn(says, self.do(*words, code=2))
        self.assertIn("--dry-run", self.do("--help"))

    def test_what_is_not_there(self):
        self.lay()
        for words, says in ((("--place", "router", "--interface", "eth7"), "no interface 'eth7'"),
                            (("--place", "bridge", "--interface", "inner"), "no bridge"),
                            (("--user", "nobody-at-all"), "no user 'nobody-at-all'")):
            with self.subTest(words=words):
                self.assertIn(says, self.do("up", *words, code=1))

    def test_warnings(self):
        self.lay(bridge=True)
        self.hosts.ip("router", "addr flush dev br0")
        said = self.do("up", *BRIDGE)
        self.assertIn("nobody listens on port 2526", said)
        self.assertIn("br0 has no IPv4 address", said)
        self.assertIn("br0 has no IPv6 address", said)
        with self.hosts.on("router"):
            self.stack.enter_context(net.socket.create_server(("127.0.0.1", 2526)))
        self.assertIn("listens on 127.0.0.1:2526 only", self.do("up", *BRIDGE))

    def test_not_root(self):
        self.lay()
        with self.hosts.on("router"), net.folder() as folder:
            copy = pathlib.Path(folder, "deploy")
            subprocess.run(["cp", "-r", str(ROOT / "deploy"), str(copy)], check=True)
            done = subprocess.run(**self.words("up", *ROUTER, args=["bash", str(copy / "intercept"), "up", *ROUTER],
                                               user="nobody", cwd="/"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("only root", done.stderr)

    def test_without_nft(self):
        self.lay()
        tools = self.folder / "bin"
        tools.mkdir()
        for name in ("bash", "dirname", "stat", "id", "ip", "sed"):
            path = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
            (tools / name).symlink_to(path)
        self.assertIn("nft is missing: apt-get install nftables",
                      self.do("up", *ROUTER, code=1, env={**os.environ, "PATH": str(tools)}))


class Files(Script):
    def test_each_loads_on_its_own(self):
        """Twice, as it is: it replaces itself."""
        self.lay()
        files = sorted(RULES.glob("*.nft"))
        self.assertEqual(len(files), 6)
        for path in files:
            with self.subTest(path.name):
                for _ in range(2):
                    self.hosts.run("router", "nft", "-f", str(path))
                self.hosts.run("router", "nft", "list", "table", "inet", "postern_intercept")

    def test_a_user_by_number(self):
        """--user is a name or a number."""
        self.lay()
        number = str(pwd.getpwnam("nobody").pw_uid)
        self.do("up", "--user", number)
        by_number = self.state()
        self.do("up", "--user", "nobody")
        self.assertEqual(self.state(), by_number)


if __name__ == "__main__":
    unittest.main()
