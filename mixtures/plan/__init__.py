"""Plans: what a spec would select, without writing anything."""
