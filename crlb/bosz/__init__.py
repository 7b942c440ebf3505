"""Real BOSZ grids: names, download, parsers, and the way into a grid file of this project."""
