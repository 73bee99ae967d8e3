"""Fetching: a corpus's files into `raw/`, verified and indexed."""
