"""What telescope, sky and detector make of a spectrum."""
