"""The protocol player: see README.md."""
