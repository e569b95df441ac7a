"""Schedules: items that are pushed by the clock, once per tick however many workers run."""
