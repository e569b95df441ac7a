"""What the worker costs and how fast it is: ``python -m tests.benchmarks``; not part of pytest."""
