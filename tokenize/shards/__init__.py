"""Token shards, their caches, and the packing of sequences."""
