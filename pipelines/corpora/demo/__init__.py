"""Demo corpora: drawn, written or copied out of installed packages, so that no hub is needed."""
