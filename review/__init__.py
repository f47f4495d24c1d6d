"""What a pull request shows of a change: a preview of each stack, and the manifests that differ, as one comment."""
