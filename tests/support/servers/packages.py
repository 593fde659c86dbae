# SPDX-License-Identifier: MIT
"""Debian packages that tests use without installing them: downloaded by apt, unpacked into a cache.

    unpacked("exim4-daemon-light")  -> the folder in which usr/sbin/exim4 is

Mail servers conflict with each other as packages, and start services where they are installed; as folders they do
neither. "a|b" is a choice: the first that apt knows. The cache is ${XDG_CACHE_HOME:-~/.cache}/postern-tests; a folder
in it is complete when it has its name, and a lock keeps two runs of the tests from filling it at once. It is safe to
delete. No file in it is set-uid.
"""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    path = pathlib.Path(base) / "postern-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked():
    with open(cache() / "lock", "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def run(*words, cwd=None):
    done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def first_known(choice):
    """As tests/run does it."""
    names = choice.split("|")
    for name in names:
        if subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode == 0:
            return name
    return names[0]


def download(choice, folder):
    """Into the folder; when apt knows no such file (any more), after an update of its lists."""
    try:
        run("apt-get", "download", "-q", first_known(choice), cwd=folder)
    except RuntimeError:
        run("apt-get", "update", "-q")
        run("apt-get", "download", "-q", first_known(choice), cwd=folder)
    return next(pathlib.Path(folder).glob("*.deb"))


def unpacked(package):
    target = cache() / package.replace("|", "-or-")
    with locked():
        if not target.exists():
            work = tempfile.mkdtemp(prefix=".new-", dir=cache())
            try:
                archive = download(package, work)
                run("dpkg", "-x", str(archive), f"{work}/root")
                run("chmod", "-R", "ug-s", f"{work}/root")
                os.rename(f"{work}/root", target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return target


def environment(places):
    """The environment of a program that needs these packages' libraries; `places`: where each is seen."""
    folders = {f"{at}/{p.parent.relative_to(unpacked(package))}" for at, package in places.items()
               for p in unpacked(package).rglob("*.so*")}
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}
