"""From what was sent to pixels, and small numbers of them. Off the hot path."""
