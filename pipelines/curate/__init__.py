"""Curation: measure, filter, deduplicate and decontaminate corpora."""
