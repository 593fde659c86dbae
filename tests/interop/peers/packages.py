# SPDX-License-Identifier: MIT
"""Peers' test suites as Debian has them: downloaded and unpacked into a folder of the build, nothing is installed.

    with lock():
        unpack()  ->  BUILD/peers/root, with usr/lib/python3/dist-packages, usr/share/gocode, usr/lib/go-1.19, …

The packages are fetched once; the lock keeps two runs with the same build folder from doing it at the same time.
"""
import contextlib
import fcntl
import functools
import os
import pathlib
import re
import shutil
import subprocess

from tests.support.daemon import BUILD

PYTHON = "/usr/bin/python3"  # the suites belong to this one, whichever runs the tests
CACHE = BUILD / "peers"
ROOT = CACHE / "root"
FIXED = (
    "python3-aiosmtpd", "python3-attr", "python3-public", "python3-typing-extensions", "python3-pkg-resources",
    "python3-pytest", "python3-pytest-mock", "python3-pytest-timeout", "python3-pluggy", "python3-iniconfig",
    "python3-packaging", "python3-more-itertools", "python3-py",
    "golang-github-emersion-go-smtp-dev", "golang-github-emersion-go-sasl-dev",
)


def output(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=300, **options).stdout


@functools.cache
def python_version():
    return output(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()


@functools.cache
def go_version():
    """Debian's golang-go is an empty package that depends on the one with a number."""
    return re.search(r"golang-([\d.]+)-go", output("apt-cache", "depends", "golang-go"))[1]


def names():
    go = go_version()
    return (*FIXED, f"libpython{python_version()}-testsuite", f"golang-{go}-go", f"golang-{go}-src")


@contextlib.contextmanager
def lock():
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch():
    """All packages into ROOT, or an error that says what to do."""
    debs = CACHE / "debs"
    for fresh in (debs, ROOT):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
    try:
        output("apt-get", "download", *names(), cwd=debs)
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"apt-get download failed (is apt-get update due?):\n{error.stderr}") from None
    for deb in sorted(debs.glob("*.deb")):
        output("dpkg", "-x", str(deb), str(ROOT))
    shutil.rmtree(debs)


def unpack():
    marker = CACHE / "complete"
    wanted = " ".join(names())
    if not marker.exists() or marker.read_text() != wanted:
        marker.unlink(missing_ok=True)
        fetch()
        marker.write_text(wanted)


def python_environment(folder, **more):
    """For the system's Python, with this folder first in its path."""
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **more}


def go_environment():
    return {**os.environ, "GOROOT": str(ROOT / f"usr/lib/go-{go_version()}"), "GOPATH": str(ROOT / "usr/share/gocode"),
            "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOCACHE": str(CACHE / "go-cache")}


@functools.cache
def go_test_binary(package):
    """The package's tests as a program, and the folder that they expect to be run in."""
    environment = go_environment()
    go = pathlib.Path(environment["GOROOT"]) / "bin/go"
    binary = CACHE / (package.replace("/", "_") + ".test")
    output(str(go), "test", "-vet=off", "-c", "-o", str(binary), package, env=environment)
    return binary, output(str(go), "list", "-f", "{{.Dir}}", package, env=environment).strip()
