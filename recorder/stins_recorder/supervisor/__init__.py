"""The process that is asked: HTTP control and status, and a writer that it watches and replaces."""
