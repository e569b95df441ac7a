"""The console: pages to see and steer from a browser; the extra ``openiap-worker[console]``.

How a page is written and tested: ``README.md``.
"""
