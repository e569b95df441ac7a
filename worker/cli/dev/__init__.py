"""Reloading: each generation of the code runs in a process of its own.

A fresh process and not a reimport: what a module did when it was imported (registries, patched
libraries, open files, classes that older objects still have) cannot be undone inside a process, and
code that is half old and half new fails in ways that no other place shows. So the new code starts
clean, the old process finishes what it has in flight, and code that does not import hurts nobody.
"""

from worker.cli.dev.child_process import Broken, ChildProcess, Prepared
from worker.cli.dev.supervisor import Supervisor, Watcher

__all__ = ["Broken", "ChildProcess", "Prepared", "Supervisor", "Watcher"]
