"""What a pull request shows: a preview of each stack, and the manifests that differ, as one comment."""
