"""Carries out what the receiver machine says, keeps the account, and goes on where a writer died."""
