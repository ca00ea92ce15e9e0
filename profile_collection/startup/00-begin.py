"""What is said while the session starts, which takes up to a minute: each step has a line before it begins."""

print("stins: loading Bluesky and ophyd ...", flush=True)
