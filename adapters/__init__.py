"""Everything that touches the outside: providers, databases, the command line, the emulator."""
