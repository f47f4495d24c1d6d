"""What a stack may say, and what the program makes of it: config, targets, images, and checks against the cluster."""
