"""A real Kubernetes and a real Pulumi engine for a machine that has neither, built from packages.

It knows nothing of Pacman but the images that it builds. README.md says how it works.
"""
