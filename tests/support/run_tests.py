# SPDX-License-Identifier: MIT
"""Runs tests of every kind side by side and adds up their cases. tests/run calls it after the builds.

    --units DIR        what ctest knows in a build folder (cmocka programs, fuzzers over their seeds)
    --python DIR       the Python modules of e2e, interop, transcripts and arch against that build
    --some-python DIR  of these only RELEASE_MODULES
    --fuzz DIR         each fuzzer for FUZZ_SECONDS
    --only PATTERN     only what has PATTERN in its name
    --module NAME      (for itself) one Python module, in this process

Every job is a process in a session of its own, so that one that hangs can be ended with all its children.
A skipped case counts as failed: a machine that cannot run a test has not passed it.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("interop", "e2e", "transcripts", "arch")  # the long ones first
# What a sanitizer would hide, as it keeps memory that was freed; and what builds and uses build/ itself.
OF_THE_RELEASE_BUILD = ("test_secrets", "test_tls_memory", "test_quickstart")
RELEASE_MODULES = ("test_loss", "test_processes", "test_proxy", "test_tls", "test_content", "test_postfix",
                   "test_chunking", *OF_THE_RELEASE_BUILD)
FUZZ_SECONDS = 10
MODULE_SECONDS = 7200 if os.environ.get("POSTERN_LONG") else 900
UNIT_SECONDS = 180
MARK = "@@case "
NOTHING = "no case has the pattern in its name"
CMOCKA = re.compile(r"\[\s+(OK|FAILED|SKIPPED)\s+\] (\S+)$", re.M)


@dataclasses.dataclass
class Job:
    name: str
    command: list
    environment: dict
    seconds: int
    count: object  # (exit code, output) -> (passed, list of failed names)
    folder: pathlib.Path = ROOT


# ---- how each kind counts its cases ----

def count_one(code, _output):
    return (1, []) if code == 0 else (0, [f"exit {code}"])


def count_cmocka(code, output):
    results = dict((name, result) for result, name in CMOCKA.findall(output))
    failed = [name for name, result in results.items() if result != "OK"]
    if not results:
        return count_one(code, output)
    if code and not failed:
        failed = [f"exit {code}"]
    return sum(r == "OK" for r in results.values()), failed


def count_module(code, output):
    cases = [json.loads(line[len(MARK):]) for line in output.splitlines() if line.startswith(MARK)]
    failed = [name for name, good in cases if not good]
    if code == 0 and output.strip() == NOTHING:
        return 0, []
    if not cases or (code and not failed):
        failed.append(f"exit {code}, {len(cases)} cases ended")
    return sum(good for _, good in cases), failed


# ---- which jobs there are ----

def unit_jobs(build):
    shown = subprocess.run(["ctest", "--test-dir", str(ROOT / build), "--show-only=json-v1"], check=True,
                           capture_output=True, text=True).stdout
    for test in json.loads(shown)["tests"]:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
        yield Job(f"{build}: {test['name']}", test["command"], environment, UNIT_SECONDS, count_cmocka,
                  pathlib.Path(properties.get("WORKING_DIRECTORY", ROOT)))


def modules():
    for folder in FOLDERS:
        for path in sorted((ROOT / "tests" / folder).rglob("test_*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def module_jobs(build, chosen, pattern):
    for name in modules():
        last = name.rpartition(".")[2]
        if last not in chosen if chosen else last in OF_THE_RELEASE_BUILD:
            continue
        command = [sys.executable, "-m", "tests.support.run_tests", "--module", name]
        yield Job(f"{build}: {name}", command + (["--only", pattern] if pattern not in name else []),
                  {"POSTERN_BUILD": str(ROOT / build)}, MODULE_SECONDS, count_module)


def fuzz_jobs(build):
    for source in sorted((ROOT / "tests" / "fuzz").glob("fuzz_*.c")):
        name = source.stem.removeprefix("fuzz_")
        corpus = tempfile.mkdtemp(prefix="postern-fuzz-")
        words = [str(ROOT / build / "tests" / source.stem), f"-max_total_time={FUZZ_SECONDS}", "-timeout=10",
                 "-print_final_stats=1", f"-artifact_prefix={ROOT / build}/{name}-"]
        words += [f"-dict={d}" for d in [source.parent / f"{name}.dict"] if d.exists()]
        words += [corpus] + [str(s) for s in [source.parent / "seeds" / name] if s.is_dir()]
        yield Job(f"{build}: fuzz {name}", words, {}, FUZZ_SECONDS + 120, count_one)


def wanted_jobs(a):
    jobs = [j for b in a.python for j in module_jobs(b, (), a.only)]
    jobs += [j for b in a.units for j in unit_jobs(b)]
    jobs += [j for b in a.some_python for j in module_jobs(b, RELEASE_MODULES, a.only)]
    jobs += [j for b in a.fuzz for j in fuzz_jobs(b)]
    return [j for j in jobs if a.only in j.name or j.count is count_module]


# ---- running them ----

def end_session(process):
    """Whatever the job left running in its session goes with it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_job(job):
    started = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(job.command, env={**os.environ, **job.environment}, cwd=job.folder,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            code = process.wait(job.seconds)
        except subprocess.TimeoutExpired:
            code = "timeout"
        end_session(process)
        process.wait()
        out.seek(0)
        output = out.read().decode(errors="replace")
    passed, failed = job.count(code, output)
    return job, passed, failed, output, time.monotonic() - started


def show(job, passed, failed, output, seconds):
    if not passed and not failed:
        return
    print(f"{'FAIL' if failed else 'ok  '} {job.name}: {passed} passed, {len(failed)} failed ({seconds:.0f} s)",
          flush=True)
    if failed:
        text = "\n".join(line for line in output.splitlines() if not line.startswith(MARK))
        print("\n".join(f"     failed: {name}" for name in failed))
        print("     | " + text[-20000:].replace("\n", "\n     | "), flush=True)


def run_all(jobs, side_by_side):
    passed, failed = 0, []
    with concurrent.futures.ThreadPoolExecutor(side_by_side) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_job, j) for j in jobs]):
            job, good, bad, output, seconds = done.result()
            show(job, good, bad, output, seconds)
            passed += good
            failed += [f"{job.name}: {name}" for name in bad]
    for name in failed:
        print(f"failed: {name}")
    if not passed and not failed:
        failed = ["nothing ran"]
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


# ---- one Python module, in this process ----

class Result(unittest.TextTestResult):
    """Says how each case ended on a line of its own, for count_module()."""

    def startTest(self, test):
        super().startTest(test)
        self.before = self.bad()

    def bad(self):
        return len(self.failures) + len(self.errors) + len(self.skipped) + len(self.unexpectedSuccesses)

    def stopTest(self, test):
        super().stopTest(test)
        print(MARK + json.dumps([test.id(), self.bad() == self.before]), flush=True)


def cases(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        else:
            yield item


def run_module(name, pattern):
    found = [c for c in cases(unittest.defaultTestLoader.loadTestsFromName(name)) if pattern in c.id()]
    if not found and pattern:
        print(NOTHING)
        return 0
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = runner.run(unittest.TestSuite(found))
    return 0 if result.wasSuccessful() and not result.skipped else 1


def arguments():
    p = argparse.ArgumentParser()
    for name in ("--units", "--python", "--some-python", "--fuzz"):
        p.add_argument(name, action="append", default=[], metavar="BUILD")
    p.add_argument("--only", default="")
    p.add_argument("--module")
    p.add_argument("--jobs", type=int, default=max(2, min(4, (os.cpu_count() or 2) + 1)))
    return p.parse_args()


def main():
    a = arguments()
    if a.module:
        return run_module(a.module, a.only)
    return run_all(wanted_jobs(a), a.jobs)


if __name__ == "__main__":
    sys.exit(main())
