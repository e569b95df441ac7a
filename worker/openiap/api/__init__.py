"""The documented OpenIAP API by subject; ``worker.openiap.client.Client`` has all of them."""
