"""Built mixtures: written, verified, compared and summarised."""
