"""The samples that a report shows, each as the model sees it."""
