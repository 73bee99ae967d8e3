"""What makes the corpora that this machine makes: drawn, written, or copied out of packages."""
