"""How far an emulator is from nodes it was not given."""
