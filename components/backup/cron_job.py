"""What the CronJobs of this folder share: when a Job runs, how often it is tried, and the container with its script."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes.batch.v1 import (
    CronJob,
    CronJobSpecArgs,
    JobSpecArgs,
    JobTemplateSpecArgs,
    PodFailurePolicyArgs,
    PodFailurePolicyOnExitCodesRequirementArgs,
    PodFailurePolicyRuleArgs,
)
from pulumi_kubernetes.core.v1 import ContainerArgs, EnvVarArgs, PodSpecArgs, PodTemplateSpecArgs, VolumeMountArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.pods import Identity, Resources, container_security

DEADLINE = 3600
"""Seconds after which Kubernetes ends a Job. Reading has to end within 300, MongoDB's default for how long it keeps the
past; restoring takes longer."""
# The 30th of February: a CronJob needs a schedule, also if it is suspended.
_NEVER = "0 0 30 2 *"


def declare_cron_job(
    metadata: ObjectMetaArgs,
    identity: Identity,
    schedule: str,
    pod: PodSpecArgs,
    opts: pulumi.ResourceOptions,
    *,
    pod_labels: Mapping[str, str] | None = None,
) -> None:
    """Declares the CronJob of a role; without a schedule it is suspended, and a template for Jobs by hand.

    Args:
        metadata: Of the CronJob.
        identity: Whose role is also the name of the pod's container.
        schedule: A cron schedule in UTC, or "".
        pod: What a Job runs.
        opts: Options of the resource.
        pod_labels: More labels of the pods.
    """
    job = _job(identity.role, pod, {**identity.labels, **(pod_labels or {})})
    CronJob(
        f"{identity.instance}-{identity.role}",
        metadata=metadata,
        spec=CronJobSpecArgs(
            schedule=schedule or _NEVER,
            suspend=not schedule,
            time_zone="Etc/UTC",
            concurrency_policy="Forbid",
            # A cluster that was off at night takes its backup when it is back.
            starting_deadline_seconds=12 * 3600,
            successful_jobs_history_limit=3,
            failed_jobs_history_limit=3,
            job_template=JobTemplateSpecArgs(metadata=ObjectMetaArgs(labels=identity.labels), spec=job),
        ),
        opts=opts,
    )


def _job(container: str, pod: PodSpecArgs, pod_labels: Mapping[str, str]) -> JobSpecArgs:
    return JobSpecArgs(
        # For what ends the pod from outside, such as an eviction. What the script refuses, it refuses again.
        backoff_limit=2,
        pod_failure_policy=PodFailurePolicyArgs(
            rules=[
                PodFailurePolicyRuleArgs(
                    action="FailJob",
                    on_exit_codes=PodFailurePolicyOnExitCodesRequirementArgs(
                        container_name=container, operator="In", values=[1]
                    ),
                )
            ]
        ),
        active_deadline_seconds=DEADLINE,
        template=PodTemplateSpecArgs(
            metadata=ObjectMetaArgs(labels=pod_labels),
            spec=pod,
        ),
    )


def script_container(
    role: str,
    image: str,
    env: Mapping[str, pulumi.Input[str]],
    resources: Resources,
    mounts: Sequence[VolumeMountArgs],
) -> ContainerArgs:
    """The container that runs `/scripts/ROLE.js` in mongosh; the script itself connects to the database, if it does."""
    return ContainerArgs(
        name=role,
        image=image,
        command=["mongosh", "--quiet", "--norc", "--nodb", f"/scripts/{role}.js"],
        env=[EnvVarArgs(name=name, value=value) for name, value in env.items()],
        # `make backup` and `make status` read it: the result, or why there is none.
        termination_message_policy="FallbackToLogsOnError",
        security_context=container_security(),
        resources=resources.args(),
        volume_mounts=[
            VolumeMountArgs(name="scripts", mount_path="/scripts", read_only=True),
            *mounts,
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - an emptyDir of the pod
        ],
    )
