"""What the worker relies on, asked of any OpenIAP: ``python -m tests.conformance``.

1. ``facts.py``: a fact is one sentence about OpenIAP, where it comes from, what is expected, and a
   small probe that asks. ``subjects/`` holds them all, by subject; the one table that there is.
2. ``ground.py``: what a probe stands on: a client, its own queues, a second user.
3. ``asking.py`` asks every fact over every client and transport; ``page.py`` writes what came out.
4. ``cleaning.py`` removes what a run made, by its prefix, also after a crash.
5. ``sites.py``: the server that is asked, and one of our own where none is named.
"""
