"""Training: recipes, the packed step, the loop, and many processes."""
