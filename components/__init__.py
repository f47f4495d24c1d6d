"""What is deployed: one component per file or folder, each usable from any program, none reading config."""
