"""``dev``: the worker anew whenever the code changes, each generation of it in its own process.

A fresh process and not a reimport: what a module did when it was imported (registries, patched
libraries, open files, classes that older objects still have) cannot be undone inside a process, and
code that is half old and half new fails in ways that no other place shows. So the new code starts
clean, the old process finishes what it has in flight, and code that does not import hurts nobody.
"""
