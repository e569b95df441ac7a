"""The command line: one file for each group of commands.

What a command prints for people goes through rich, what it prints for programs (``--json``) is one
JSON value on stdout. Exit codes: 0 done, 1 it did not work, 2 wrong use or wrong settings.
"""
