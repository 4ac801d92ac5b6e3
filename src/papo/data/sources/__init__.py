"""Sources: each maps a data set's own columns to items."""
