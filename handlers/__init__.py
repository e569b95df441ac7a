"""Where handlers live; these four are examples, each useful as it is.

A worker takes them by name: ``openiap-worker run --handlers handlers.invoices``.
"""
