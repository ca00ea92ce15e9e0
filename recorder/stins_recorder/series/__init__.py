"""One series as files: what stands in them before, with and behind the frames."""
