"""What is deployed: one component per file or folder. Components take arguments and read no config.

Two things still belong to this program: every object has the label app.kubernetes.io/part-of=pacman, and the messages
of NamespaceProvider name its config keys.
"""
