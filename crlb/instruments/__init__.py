"""Spectrographs as data: named ones, and those that a text file describes."""
