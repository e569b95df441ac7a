"""Keys and rates: which item of a queue may run now, decided together by all workers.

``gate.py`` is what the runner asks; it uses ``key_lock.py`` (one item of a key at a time, in
order) and ``rate_limit.py`` (so many per window). Handlers that declare neither have no gate.
"""
