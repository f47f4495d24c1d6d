"""MongoDB as a StatefulSet: a replica set with authentication from its first boot, also with one member.

One code path for one member and for five means that growing needs no migration, and that there is an oplog to recover
and back up from. The replica set is initiated by a Job and by nothing else: a boot script that initiates when its
volume is empty is how clusters lose data, because it makes a second set while the first one lives.

`stateful_set.py` has the component; each of the other files declares one part of it.
"""

from components.mongo.naming import PORT, REPLICA_SET
from components.mongo.previous_users import PreviousUsers
from components.mongo.stateful_set import RESOURCES, MongoStatefulSet, MongoStatefulSetArgs

__all__ = ["PORT", "REPLICA_SET", "RESOURCES", "MongoStatefulSet", "MongoStatefulSetArgs", "PreviousUsers"]
