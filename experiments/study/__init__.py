"""The machinery that experiments share: stars, trained arms, intervals, style."""
