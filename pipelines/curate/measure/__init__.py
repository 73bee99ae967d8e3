"""What is measured of a sample, once: headers, pixels, text, chain of thought."""
