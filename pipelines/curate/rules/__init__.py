"""Rules a sample must pass, and the YAML policies that choose among them."""
