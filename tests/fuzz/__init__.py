"""Anything at all, against an oracle that was written another way: `make fuzz` tries 100,000."""
