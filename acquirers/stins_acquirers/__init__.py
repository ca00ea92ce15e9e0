"""Acquirers: vendor hardware becomes a STINS stream. One folder a vendor, one service loop for all."""
