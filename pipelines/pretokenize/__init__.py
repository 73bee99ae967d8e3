"""Pre-tokenization: token ids and tiles once per sample, packed into sequences once per mixture."""
