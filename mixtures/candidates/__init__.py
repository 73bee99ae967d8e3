"""The candidates of a mixture: samples, or declared counts where a corpus is not curated."""
