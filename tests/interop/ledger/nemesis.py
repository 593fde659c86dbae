# SPDX-License-Identifier: MIT
"""The nemesis: does harm, a deed at a time, chosen by a seed, and writes down when it did what.

A deed is a function; one that breaks something for a while mends it itself. rest() leaves everything whole.
"""
import contextlib
import os
import pathlib
import random
import signal
import subprocess
import time


class Disk:
    """A small file system of its own, for state_dir, that can be filled."""

    def __init__(self, folder, size="6m"):
        self.folder = pathlib.Path(folder)
        self.size = size

    def __enter__(self):
        self.folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=1777", "tmpfs", str(self.folder)],
                       check=True, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_exc):
        subprocess.run(["umount", "-l", str(self.folder)], check=True, stdin=subprocess.DEVNULL)

    def fill(self):
        with contextlib.suppress(OSError), open(self.folder / "ballast", "ab", buffering=0) as f:
            while True:
                f.write(b"\0" * 65536)

    def empty(self):
        (self.folder / "ballast").unlink(missing_ok=True)


class Nemesis:
    """Deeds by name; each is done at least once before any is done again at random."""

    def __init__(self, seed, deeds):
        self.chance = random.Random(seed)
        self.deeds = deeds
        self.journal = []  # (time, name)

    def rage(self, seconds, pause=(0.05, 0.5)):
        end = time.monotonic() + seconds
        todo = self.chance.sample(list(self.deeds), len(self.deeds))
        while time.monotonic() < end or todo:
            time.sleep(self.chance.uniform(*pause))
            self.do(todo.pop() if todo else self.chance.choice(list(self.deeds)))

    def do(self, name):
        self.journal.append((time.monotonic(), name))
        self.deeds[name]()

    def when(self, *names):
        """The times of the deeds with these names."""
        return [at for at, name in self.journal if name in names]

    def account(self):
        first = self.journal[0][0] if self.journal else 0
        return "\n".join(f"{at - first:8.3f} {name}" for at, name in self.journal)


def daemon_deeds(daemon, chance):
    """Harm to postern itself."""
    def kill_a_worker():
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(chance.choice(daemon.workers()), signal.SIGKILL)

    def freeze_a_worker():
        with contextlib.suppress(ProcessLookupError, IndexError):
            worker = chance.choice(daemon.workers())
            os.kill(worker, signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 1.5))
            os.kill(worker, signal.SIGCONT)

    def kill_everything():
        daemon.kill()
        start_again(daemon)

    def stop_and_start():
        daemon.stop()
        start_again(daemon)

    return {"kill a worker": kill_a_worker, "freeze a worker": freeze_a_worker, "kill everything": kill_everything,
            "stop and start": stop_and_start, "reload": daemon.reload}


def start_again(daemon):
    """With a log of its own, so that it is seen when it is ready."""
    daemon.log_file.rename(daemon.log_file.with_suffix(f".{time.monotonic_ns()}"))
    daemon.start()


def for_a_while(chance, harm, mend, shortest=0.1, longest=2.5):
    def deed():
        harm()
        time.sleep(chance.uniform(shortest, longest))
        mend()
    return deed


def redis_deeds(redis, chance):
    def kill():
        redis.stop(signal.SIGKILL)

    return {"kill Redis": for_a_while(chance, kill, redis.start, longest=1.0),
            "freeze Redis": for_a_while(chance, redis.freeze, redis.thaw, longest=1.0),
            "flush Redis": redis.flush}


def disk_deeds(disk, chance):
    return {"fill the disk": for_a_while(chance, disk.fill, disk.empty)}


def sink_deeds(sink, chance):
    def kill():
        sink.stop(signal.SIGKILL)

    return {"kill the server": for_a_while(chance, kill, sink.start, longest=0.5),
            "restart the server": for_a_while(chance, sink.stop, sink.start, longest=0.5),
            "freeze the server": for_a_while(chance, sink.freeze, sink.thaw, longest=3.5)}


def postfix_deeds(postfix, chance):
    return {"kill a process of the server": postfix.kill_one, "restart the server": postfix.restart,
            "freeze the server": for_a_while(chance, postfix.freeze, postfix.thaw, longest=3.5)}
