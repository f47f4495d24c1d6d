"""What takes too long for `make test`: `make long` runs it on a running sandbox."""
