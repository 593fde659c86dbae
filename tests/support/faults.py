# SPDX-License-Identifier: MIT
"""Faults of the system for a daemon under test: the library of faults.c, built once, and the numbers that steer it.

    faults = Faults(folder)
    p.environment = faults.environment()      # before p.start()
    faults.fail_allocation(7, p.workers()[0])
"""
import functools
import mmap
import os
import pathlib
import struct
import subprocess
import tempfile

from tests.support.daemon import environment

SOURCE = pathlib.Path(__file__).with_suffix(".c")
FIELDS = ("clock_s", "disturb", "pid", "allocation", "failed", "disturbed")


@functools.cache
def library():
    """The library, in a folder that lives as long as this process."""
    holder = tempfile.TemporaryDirectory(prefix="postern-faults-")
    os.chmod(holder.name, 0o755)
    path = pathlib.Path(holder.name) / "faults.so"
    subprocess.run(["cc", "-O1", "-g", "-shared", "-fPIC", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    library.holder = holder
    return path


class Faults:
    def __init__(self, folder):
        self.file = pathlib.Path(folder) / "faults"
        self.file.write_bytes(bytes(4096))
        with open(self.file, "r+b") as f:
            self.shared = mmap.mmap(f.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": str(library()), "POSTERN_FAULTS": str(self.file),
                "ASAN_OPTIONS": environment()["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}

    def get(self, field):
        return struct.unpack_from("q", self.shared, 8 * FIELDS.index(field))[0]

    def set(self, field, value):
        struct.pack_into("q", self.shared, 8 * FIELDS.index(field), value)

    def fail_allocation(self, number, pid):
        """The allocation of this number, counted from now, fails in that process; 0: none."""
        self.set("allocation", 0)
        self.set("pid", pid)
        self.set("allocation", number)
