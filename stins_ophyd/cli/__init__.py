"""The commands that a person types: demo, up, status."""
