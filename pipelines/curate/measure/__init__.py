"""What is measured of a sample, once: headers, a look at the pixels, text, chain of thought."""
