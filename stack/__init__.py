"""Reads a stack's config, with the defaults of its target, and checks it against the cluster."""
