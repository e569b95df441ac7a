"""The command line: a file for each command, a folder where it takes more than one.

``shared`` holds what several of them use; ``agent`` is what built packages start.

What a command prints for people goes through rich, what it prints for programs (``--json``) is one
JSON value on stdout. Exit codes: 0 done, 1 it did not work, 2 wrong use or wrong settings.
"""
