"""What a stack does where somebody else has set a field that it declares."""

TAKE_OVER = {"pulumi.com/patchForce": "true"}
"""Annotation of every object here: what the program declares is set back, whoever changed it.

Without it, the API server refuses to change a field that another manager has set: cert-manager, an autoscaler that is
gone, or a person with kubectl. What kubectl has set the provider takes over in an `up`, but not in a preview. So
`pulumi preview --refresh` would fail on the drift that it is asked to show, and `pulumi up --refresh` with it, since it
previews first.
"""
