"""State that all workers share, in OpenIAP's documents: cells, and what is built of them."""
