"""Published file formats, each read in units of rows."""
