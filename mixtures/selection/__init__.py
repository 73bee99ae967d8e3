"""The selection of a built mixture: which samples, in which order, and the lock."""
