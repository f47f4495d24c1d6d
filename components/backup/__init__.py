"""Backups of a MongoDB database: a CronJob that takes and verifies them, and a suspended one from which restores run.

`mongo_backup.py` has the component, and `mongo_snapshots.py` another one, which takes snapshots of the volumes. The
scripts run in mongosh, which the image of every member has; the tools mongodump and mongorestore, which some images
lack, are not needed.
"""

from components.backup.mongo_backup import RESOURCES, MongoBackup, MongoBackupArgs
from components.backup.mongo_snapshots import SNAPSHOT_RESOURCES, MongoSnapshots, MongoSnapshotsArgs

__all__ = [
    "RESOURCES",
    "SNAPSHOT_RESOURCES",
    "MongoBackup",
    "MongoBackupArgs",
    "MongoSnapshots",
    "MongoSnapshotsArgs",
]
