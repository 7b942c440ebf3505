"""How well a label can be known, per magnitude: the tables."""
