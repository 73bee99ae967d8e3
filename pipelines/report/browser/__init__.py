"""The sample browser: a local web app over all samples of a workspace."""
