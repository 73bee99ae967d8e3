"""The engine: runs a stage's units, commits each by its manifest, resumes a killed run."""
