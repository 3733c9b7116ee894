"""One model call: which backend, in which order, what to do when it fails."""
