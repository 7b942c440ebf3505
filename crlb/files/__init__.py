"""Reading and writing files: whole or not at all, and without executing anything in them."""
