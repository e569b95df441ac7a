"""The services over HTTP: sessions, limits, errors, and what serves them."""
