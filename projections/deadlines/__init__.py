"""What must be told to whom by when."""
