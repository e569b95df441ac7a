"""The OpenIAP protocol without I/O: messages, envelopes and framing as plain functions."""
