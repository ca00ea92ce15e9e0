"""A simulated DECTRIS detector: SIMPLON over HTTP, and both of its ZeroMQ streams.

Sources: DECTRIS SIMPLON API reference 1.8; github.com/dectris/documentation (stream v2, compression tag); a captured
stream of an EIGER1. Where they are silent, a comment says what was chosen.
"""
