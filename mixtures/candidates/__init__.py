"""The candidates of a mixture: samples, or declared counts where the data are not here."""
