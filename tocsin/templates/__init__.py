"""Files that `tocsin init` writes."""
