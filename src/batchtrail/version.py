"""The version, written here: to look it up in the metadata would slow every start."""

__version__ = "0.1.0"
