"""The process that records: it receives, checks, writes and republishes."""
