"""What `make` calls besides the sandbox. Nothing that is deployed imports it."""
