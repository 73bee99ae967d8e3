"""The HTML report of a mixture, its sample browser, and the dataset card."""
