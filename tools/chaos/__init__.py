"""`make chaos`: faults under load, and what they cost: lost scores, and seconds without writes."""
