# SPDX-License-Identifier: MIT
"""The peers' suites: in which pieces each is run, with which command, and how its results are read.

A piece runs in a network of its own, so pieces can run side by side although they use the same ports. Every runner
gives {name of a test: did it pass}; a test that was skipped, or of which nothing was heard, is not in it.
"""
import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

from tests.interop.peers import packages

TEST_SECONDS = 8     # one test of a suite
PIECE_SECONDS = 150  # all of a piece


@dataclasses.dataclass(frozen=True)
class Piece:
    suite: str
    name: str              # of a module, a file or a package of the suite
    run: object            # (piece, names of the only tests that are wanted, or ()) -> results
    implicit: bool = False  # its clients begin TLS at once
    certificate: tuple = ()  # files: the one that its clients trust, and its key; else any will do


def finished(words, **options):
    """The output of a command, as far as it came."""
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, errors="replace", timeout=PIECE_SECONDS, check=False, **options).stdout
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace")


# ---- CPython ----

def test_package():
    """Debian splits Python's package `test` in two, and both halves must be in one folder."""
    version = packages.python_version()
    merged = packages.CACHE / "python"
    if not (merged / "complete").exists():
        shutil.rmtree(merged, ignore_errors=True)
        for half in (f"/usr/lib/python{version}/test", packages.ROOT / f"usr/lib/python{version}/test"):
            shutil.copytree(half, merged / "test", dirs_exist_ok=True)
        (merged / "complete").touch()
    return merged


def run_unittest(piece, only):
    folder = test_package()
    reporter = str(pathlib.Path(__file__).with_name("unittest_report.py"))
    said = finished([packages.PYTHON, "-W", "ignore", reporter, *(only or [piece.name])], cwd=folder,
                    env=packages.python_environment(folder))
    return dict(json.loads(line) for line in said.splitlines() if line.startswith('["'))


# ---- pytest ----

def run_pytest(piece, only):
    folder = packages.ROOT / "usr/lib/python3/dist-packages"
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        finished([packages.PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_mock", "-p",
                  "pytest_timeout", f"--timeout={TEST_SECONDS}", f"--junitxml={report.name}", *(only or [piece.name])],
                 env=packages.python_environment(folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"), cwd=folder)
        try:
            cases = list(xml.etree.ElementTree.parse(report.name).iter("testcase"))
        except xml.etree.ElementTree.ParseError:
            return {}
    results = {}
    for case in cases:
        parts = case.get("classname").split(".")
        where = "/".join(p for p in parts if p[:1].islower()) + ".py"
        name = "::".join([where, *(p for p in parts if p[:1].isupper()), case.get("name")])
        if case.find("skipped") is None:
            good = case.find("failure") is None and case.find("error") is None
            results[name] = results.get(name, True) and good
    return results


# ---- Go ----

def run_go(piece, only):
    binary, folder = packages.go_test_binary(piece.name)
    listed = finished([str(binary), "-test.list", "^Test"], cwd=folder).split()
    results = {}
    for name in only or listed:
        words = [str(binary), "-test.run", f"^{name}$", "-test.v", f"-test.timeout={TEST_SECONDS}s"]
        said = finished(words, cwd=folder)
        if f"--- SKIP: {name} " not in said:
            results[name] = re.search(rf"^--- PASS: {name} ", said, re.M) is not None
    return results


AIOSMTPD = ("smtp", "server", "main", "proxyprotocol", "starttls", "handlers", "lmtp", "smtps")
AIOSMTPD_CERTIFICATE = tuple(str(packages.ROOT / "usr/lib/python3/dist-packages/aiosmtpd/tests/certs" / name)
                             for name in ("server.crt", "server.key"))

SUITES = {
    "smtplib": [Piece("smtplib", "test.test_smtplib", run_unittest)],
    "aiosmtpd": [Piece("aiosmtpd", f"aiosmtpd/tests/test_{name}.py", run_pytest, name == "smtps",
                       AIOSMTPD_CERTIFICATE) for name in AIOSMTPD],
    "net-smtp": [Piece("net-smtp", "net/smtp", run_go)],
    "go-smtp": [Piece("go-smtp", "github.com/emersion/go-smtp", run_go)],
}


def prepare():
    """All that needs the network of the machine, or is shared by pieces."""
    with packages.lock():
        packages.unpack()
        test_package()
        for suite in ("net-smtp", "go-smtp"):
            packages.go_test_binary(SUITES[suite][0].name)
