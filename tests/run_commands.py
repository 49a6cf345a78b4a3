"""Runs commands of kft in one process, each as if it had been started alone.

Reads ``[folder, arguments, limit]`` of each from standard input, as JSON: no file may grow beyond
`limit` bytes, if that is not None. Prints the exit codes. What a command says is in ``out.txt``
and ``err.txt`` of its folder.
"""

import json
import os
import resource
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from kft.cli.main import main


@contextmanager
def said_in(folder):
    """Sends what Python and C++ say to files in `folder`."""
    kept = [os.dup(1), os.dup(2)]
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
    try:
        yield
    finally:
        for number, stream in enumerate([sys.stdout, sys.stderr]):
            stream.flush()
            os.dup2(kept[number], number + 1)
            os.close(kept[number])


@contextmanager
def full_at(limit):
    """Makes the disk seem full to every file of `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if limit is None else limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def exit_code(arguments):
    """Runs one command; a traceback is printed, as Python does at the end of a process."""
    try:
        main(arguments, prog_name="kft")
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
    return 1


codes = []
for folder, arguments, limit in json.load(sys.stdin):
    os.chdir(folder)
    with said_in(Path(folder)), full_at(limit):
        codes.append(exit_code(arguments))
json.dump(codes, sys.stdout)
