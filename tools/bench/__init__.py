"""`make bench`: how fast the program and the sandbox are, each figure as a ratio to doing the same without them."""
