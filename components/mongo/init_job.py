"""The Jobs that bring the replica set to what the program declares: its members, users, indexes and version."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_kubernetes.batch.v1 import Job, JobSpecArgs
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.metadata import ROTATION
from components.mongo.credentials import Credentials
from components.mongo.naming import MOST_MEMBERS, PORT, REPLICA_SET, UID, Names
from components.mongo.pod import secret_volume
from components.pods import Placement, Resources, container_security, pod_security

INIT_SCRIPT = Path(__file__).with_name("init.js")
# A shell on Node.js: about 130 MiB once it is connected.
_RESOURCES = Resources(cpu=("50m",), memory=("128Mi", "512Mi"), disk=("1Mi", "64Mi"))
# As long as the provider waits for a StatefulSet, less a minute. The script gives up earlier, so that it can say why:
# three minutes are for the pod to get a node and an image.
_DEADLINE_SECONDS = 540
_LIMIT_SECONDS = 360


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the Jobs bring the replica set to."""

    image: str
    """The MongoDB image, which has mongosh."""
    members: int
    """How many members the set has."""
    database: str
    """The application's database."""
    scratch_database: str
    """The database in which backups are verified."""
    indexes: Mapping[str, Mapping[str, int]]
    """Collection to the key of an index."""
    compatibility: str
    """The featureCompatibilityVersion to set, "" to leave it."""
    rotation: int
    """How often the passwords have been changed."""
    volume: str
    """The UID of the first member's claim if the first one was lost, else ""."""

    def environment(self, names: Names) -> dict[str, str]:
        """What the script reads."""
        app = {"secret": "app", "database": self.database, "roles": [{"role": "readWrite", "db": self.database}]}
        reader = [{"role": "read", "db": self.database}, {"role": "readWrite", "db": self.scratch_database}]
        backup = {"secret": "backup", "database": "admin", "roles": reader}
        return {
            "MEMBERS": ",".join(f"{host}:{PORT}" for host in names.hosts(self.members)),
            "POSSIBLE_MEMBERS": ",".join(f"{host}:{PORT}" for host in names.hosts(MOST_MEMBERS)),
            "REPLICA_SET": REPLICA_SET,
            "DATABASE": self.database,
            "INDEXES": json.dumps(self.indexes),
            "USERS": json.dumps([app, backup]),
            "FEATURE_COMPATIBILITY": self.compatibility,
        }


class MongoJobs:
    """Declares Jobs that run the script."""

    def __init__(
        self,
        names: Names,
        wanted: Wanted,
        credentials: Credentials,
        *,
        resources: Resources,
        placement: Placement,
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._names, self._wanted, self._credentials = names, wanted, credentials
        self._resources, self._placement, self._opts = resources, placement, opts
        self._script = INIT_SCRIPT.read_text()
        self._config = ConfigMap(
            f"{names.name}-init",
            metadata=names.metadata("-init", names.init),
            data={"init.js": self._script},
            opts=opts,
        )

    def declare(self, role: str, opts: pulumi.ResourceOptions | None = None) -> Job:
        """Declares the Job `init`, or the Job `retire`, which deletes the old users.

        A finished Job does not run again. So its name has a hash of all that it works with: if one of them changes, a
        new Job runs.
        """
        names, wanted = self._names, self._wanted
        environment = {
            **wanted.environment(names),
            "RETIRE": "true" if role == "retire" else "",
            "LIMIT_SECONDS": str(_LIMIT_SECONDS),
        }
        seed = json.dumps([self._script, wanted.image, wanted.rotation, wanted.volume, environment])
        run = hashlib.sha256(seed.encode()).hexdigest()[:8]
        # The next `up` replaces a failed Job, which would otherwise stay failed for ever.
        annotations = {"pulumi.com/replaceUnready": "true"}
        if role == "retire":
            # How the next rotation knows that this one has ended.
            annotations[ROTATION] = str(wanted.rotation)
        return Job(
            f"{names.name}-{role}",
            metadata=names.metadata(f"-{role}-{run}", names.init, annotations),
            spec=JobSpecArgs(
                # The script retries by itself. A new pod is only for what ends the script, such as an eviction. What it
                # refuses is tried again, too: the provider does not see that a podFailurePolicy has failed a Job, and
                # would wait for its own deadline.
                backoff_limit=3,
                active_deadline_seconds=_DEADLINE_SECONDS,
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels=names.init.labels), spec=self._pod(environment)
                ),
            ),
            # A failed Job keeps its name in the cluster. If the new Job were created first, going back to the old
            # config would then fail, because that name exists.
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions.merge(self._opts, opts), pulumi.ResourceOptions(delete_before_replace=True)
            ),
        )

    def _pod(self, environment: Mapping[str, str]) -> PodSpecArgs:
        script = ConfigMapVolumeSourceArgs(name=self._config.metadata.name)
        return PodSpecArgs(
            automount_service_account_token=False,
            enable_service_links=False,
            restart_policy="Never",
            security_context=pod_security(UID, UID),
            containers=[self._container(environment)],
            volumes=[
                VolumeArgs(name="script", config_map=script),
                secret_volume("root", self._credentials.root_secret),
                secret_volume("users", self._credentials.users_secret),
                VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            ],
            **self._placement.pod_fields(),
        )

    def _container(self, environment: Mapping[str, str]) -> ContainerArgs:
        return ContainerArgs(
            name="init",
            image=self._wanted.image,
            command=["mongosh", "--quiet", "--norc", "--nodb", "/script/init.js"],
            env=[
                EnvVarArgs(name="NAMESPACE", value=self._names.namespace),
                *(EnvVarArgs(name=name, value=value) for name, value in environment.items()),
                EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108 - an emptyDir of the pod
            ],
            # `pulumi up` prints it if the Job fails.
            termination_message_policy="FallbackToLogsOnError",
            security_context=container_security(),
            resources=_RESOURCES.with_cpu_limit_of(self._resources).args(),
            volume_mounts=[
                VolumeMountArgs(name="script", mount_path="/script", read_only=True),
                VolumeMountArgs(name="root", mount_path="/secrets/root", read_only=True),
                VolumeMountArgs(name="users", mount_path="/secrets/users", read_only=True),
                VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
            ],
        )
