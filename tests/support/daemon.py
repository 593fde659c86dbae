# SPDX-License-Identifier: MIT
"""The daemon under test: writes its configuration, starts it, watches its log and its end.

    with Postern(folder, config(sink.port)) as p:
        Smtp(p.port) …
        p.transactions()[-1]["verdict"]

The build folder is $POSTERN_BUILD, else build/ of the checkout. Leaving the `with` block stops the daemon by
SIGTERM and checks that it ended well: exit code 0, no worker lost unasked (a test that kills some sets
`deaths_expected`), nothing found by the sanitizers, and a log of printable ASCII lines.
"""
import contextlib
import copy
import json
import os
import pathlib
import re
import signal
import subprocess

from tests.support import net

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD") or ROOT / "build").resolve()
SANITIZERS = ("AddressSanitizer", "LeakSanitizer", "UndefinedBehaviorSanitizer", "runtime error:")
FIELD = re.compile(r'([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|\S*)')
READY = re.compile(r'^postern: ready$|"msg":"(postern: )?ready"', re.M)
PRINTABLE = re.compile(r"[\x20-\x7e]*")
PLAIN_SCALAR = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*|\d+(\.\d+)?|\d+[A-Za-z]+|\d+/\d+[smhd]")


def yaml(value, depth=0):
    """A configuration tree as YAML: maps in block style, scalars quoted where they are not plain words."""
    pad = "  " * depth
    if isinstance(value, dict) and value:
        return "".join(f"\n{pad}{key}:{yaml(v, depth + 1)}" for key, v in value.items())
    return " " + yaml_flow(value)


def yaml_flow(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {yaml_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(yaml_flow(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if PLAIN_SCALAR.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def merge(base, more):
    """`base` with the members of `more` laid over it; None removes a member."""
    result = copy.deepcopy(base)
    for key, value in more.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def config(upstream, port=None, **more):
    """The smallest useful configuration: one plain listener, one plain upstream, no filters."""
    base = {
        "workers": 1,
        "hostname": "gate.example.org",
        "log": {"format": "logfmt", "to": "stderr"},
        "timeouts": {"drain": "5s"},
        "plugins": {"path": str(BUILD / "plugins")},
        "listeners": {"main": {"bind": [f"127.0.0.1:{port or net.free_port()}"], "tls": "none",
                               "upstream": "mta", "policy": "main"}},
        "upstreams": {"mta": {"servers": [f"127.0.0.1:{upstream}"], "tls": "none"}},
        "policies": {"main": {"filters": []}},
    }
    return merge(base, more)


def fields(line):
    """A log line's fields."""
    found = {}
    for key, value in FIELD.findall(line):
        if value.startswith('"'):
            value = value[1:-1].replace(r"\"", '"').replace("\\\\", "\\")
        found[key] = value
    return found


def run(*words, **options):
    """`postern …` to its end."""
    return subprocess.run([str(BUILD / "postern"), *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, env=environment(), check=False, **options)


def environment():
    return {**os.environ, "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1",
            "UBSAN_OPTIONS": "print_stacktrace=1"}


class Postern:
    def __init__(self, folder, settings, files=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = {}
        self.file = self.folder / "postern.yaml"
        self.log_file = self.folder / "postern.log"
        for name, text in (files or {}).items():
            self.write(name, text)
        self.configure(settings)
        self.process = None
        self.environment = {}  # beside the usual one
        self.prefix = []  # a program that starts it: its words
        self.deaths_expected = False

    # ---- its files ----

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        temporary.write_bytes(text if isinstance(text, bytes) else text.encode())
        temporary.rename(path)
        return path

    def configure(self, settings):
        if isinstance(settings, dict):
            self.settings = settings
        self.write(self.file.name, settings if isinstance(settings, str) else yaml(settings).lstrip("\n") + "\n")

    # ---- life ----

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, _value, _trace):
        if kind is None:
            self.stop()
        else:
            self.abandon()

    def start(self):
        with open(self.log_file, "ab") as out:
            self.process = subprocess.Popen([*self.prefix, str(BUILD / "postern"), "-c", str(self.file)],
                                            env={**environment(), **self.environment}, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, cwd=str(self.folder))
        try:
            net.wait_until(lambda: READY.search(self.log()) or self.process.poll() is not None, 30,
                           '"postern: ready"')
            if self.process.poll() is not None:
                raise AssertionError(f"postern ended with {self.process.returncode}")
        except AssertionError as late:
            self.abandon()
            raise AssertionError(f"{late}\n{self.file.read_text()}\n{self.log()[-4000:]}") from None
        return self

    def stop(self, seconds=20.0):
        """SIGTERM, and all the checks of a good end."""
        if self.process is None:
            return
        code = net.end_process(self.process, seconds)
        self.process = None
        self.check_log()
        if code != 0:
            raise AssertionError(f"postern ended with {code} after SIGTERM\n{self.log()[-4000:]}")

    def abandon(self):
        """Ends it and its workers without any check."""
        if self.process:
            workers = self.workers()
            net.end_process(self.process, 5)
            self.process = None
            for pid in workers:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def kill(self):
        """kill -9 of the supervisor and of every worker, as a power cut would."""
        workers = self.workers()
        self.process.kill()
        for pid in workers:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        net.wait_until(lambda: not any(net.alive(w) for w in workers), 10, "the workers to be gone")

    def check_log(self):
        log = self.log()
        found = [s for s in SANITIZERS if s in log]
        if found:
            where = min(log.index(s) for s in found)
            raise AssertionError(f"{found} in the log:\n{log[max(0, where - 300):where + 6000]}")
        strange = [line for line in log.splitlines() if not PRINTABLE.fullmatch(line)]
        if strange:
            raise AssertionError(f"not printable ASCII: {strange[:3]!r}")
        died = [line for line in self.log_lines("event=worker_ended") if "exit=0" not in line]
        if died and not self.deaths_expected:
            raise AssertionError(f"workers died: {died}\n{log[-4000:]}")

    @property
    def pid(self):
        return self.process.pid

    def workers(self):
        return net.children(self.process.pid) if self.process else []

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, settings=None):
        """SIGHUP; returns the line that says how it went."""
        if settings is not None:
            self.configure(settings)
        before = len(self.log_lines("reload:"))
        self.signal(signal.SIGHUP)
        return net.wait_until(lambda: self.log_lines("reload:")[before:], 20, "a reload line in the log")[-1]

    # ---- where it listens ----

    def listener_port(self, name, which=0):
        return int(self.settings["listeners"][name]["bind"][which].rpartition(":")[2])

    @property
    def port(self):
        return self.listener_port(next(iter(self.settings["listeners"])))

    # ---- its log ----

    def log(self):
        """All that it said: its stderr, and the file that it logs to, if it does."""
        other = pathlib.Path(self.settings.get("log", {}).get("to", "stderr"))
        files = [self.log_file] + ([other] if other.is_absolute() else [])
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    def log_lines(self, containing=""):
        return [line for line in self.log().splitlines() if containing in line]

    def wait_log(self, pattern, seconds=10.0):
        """The first line that the regular expression is found in."""
        def search():
            return next((line for line in self.log().splitlines() if re.search(pattern, line)), None)
        try:
            return net.wait_until(search, seconds, f"{pattern!r} in the log", 0.05)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log()[-3000:]}") from None

    def events(self, event):
        return [f for f in map(fields, self.log_lines(f"event={event}")) if f.get("event") == event]

    def transactions(self, count=1, seconds=10.0):
        """The fields of all transaction lines, when there are at least `count`."""
        try:
            return net.wait_until(
                lambda: (e if len(e := self.events("transaction")) >= count else None), seconds,
                f"{count} transaction lines", 0.05)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log()[-3000:]}") from None
