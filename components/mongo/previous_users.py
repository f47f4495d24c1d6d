"""The end of a rotation: the old users are deleted."""

import pulumi

from components.mongo.stateful_set import MongoStatefulSet


class PreviousUsers(pulumi.ComponentResource):
    """Deletes the users from before the last rotation of a database.

    Declare it with depends_on for whoever uses the database: they must have the new passwords by then. It is no child
    of the database, because those depend on all of that.
    """

    def __init__(self, name: str, database: MongoStatefulSet, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:PreviousUsers", name, None, opts)
        database.jobs.declare("retire", pulumi.ResourceOptions(parent=self))
        self.register_outputs({})
