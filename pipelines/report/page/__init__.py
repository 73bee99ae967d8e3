"""The report as one HTML page: sections, charts, the dataset card."""
