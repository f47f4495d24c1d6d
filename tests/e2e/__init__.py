"""The whole thing, as a person uses it: a browser, the Ingress, the game, the database."""
