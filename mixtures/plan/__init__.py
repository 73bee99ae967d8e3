"""Plans: what a spec would give, before anything is written."""
