"""``replay``: the handler of an existing item, run here."""
