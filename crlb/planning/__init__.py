"""How long, how faint, with what: the questions of whoever plans observations."""
