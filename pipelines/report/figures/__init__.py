"""Every number of a mixture's report, computed from its files."""
