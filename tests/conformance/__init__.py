"""What a Kubernetes provider must do, whichever it is: cases that hold for the official one and for the stand-in."""
