"""All figures, drawn anew from committed results."""
