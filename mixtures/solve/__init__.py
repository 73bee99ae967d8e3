"""The solver: from candidates and constraints to whole numbers of samples in order."""
