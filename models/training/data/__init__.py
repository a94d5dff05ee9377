"""Training data: batches, caches of decoded photographs and features, and decoding ahead of the network."""
