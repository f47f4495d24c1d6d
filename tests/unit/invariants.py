"""How the resources of every stack fit together, each as a check that names what breaks it.

The policy pack checks what each object must satisfy by itself, such as its provider, the common labels, and that the
selector of a workload matches its pods. tests/policy runs the pack on the same stacks. The checks here need what the
pack does not see, such as parents and secrets, or hold for this program only.

A check takes a recorded run and gives back its faults, `Kind name: field: what is wrong`; none means that it holds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.pods import Identity
from tests.harness.faults import INSTANCE
from tools.recorder import Recorded, Resource, SecretValue

Check = Callable[[Recorded], Iterator[str]]

SOLVER = {"acme.cert-manager.io/http01-solver": "true"}
"""The labels of the pods by which cert-manager answers a challenge; the stack declares none of them."""
# Kind of what waits -> kind of what it waits for, where no output says so. Each has its reason beside it in the code.
JUSTIFIED_DEPENDENCIES = {
    "RestrictedNamespace": {"FixedNamespace"},
    "DefaultStorageClass": {"RestrictedNamespace"},
    "StorageClassPatch": {"DefaultMarks"},
    "StorageClass": {"DefaultMarks"},
    "IngressController": {"RestrictedNamespace"},
    "PacmanDeployment": {"MongoStatefulSet"},
    "NginxIngress": {"PacmanDeployment"},
    "PreviousUsers": {"PacmanDeployment"},
    "Volumes": {"StatefulSet"},
}
# In a database, everything waits for its guard, the Secrets of clients for the Job that makes their users, and the
# members for the policy by which they reach each other.
_GUARDED = {
    "Secret": ({"Database"}, {"Job"}),
    "StatefulSet": ({"Database", "NetworkPolicy"},),
    **dict.fromkeys(
        ("Job", "ConfigMap", "RandomPassword", "Service", "NetworkPolicy", "PodDisruptionBudget"),
        ({"Database"},),
    ),
}
# In a namespace that somebody else has created, what would wait for the namespace waits for the guard of it.
JUSTIFIED_IN_A_GIVEN_NAMESPACE = JUSTIFIED_DEPENDENCIES | dict.fromkeys(
    ("DefaultStorageClass", "MongoStatefulSet", "MongoBackup", "MongoSnapshots", "RegistryCredentials"),
    frozenset({"FixedNamespace"}),
)
# All that anybody may do with the Kubernetes API: Pacman in the cluster, and the Job of snapshots in the namespace.
GRANTED = {
    "ClusterRole": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
    "Role": [
        {
            "apiGroups": ["snapshot.storage.k8s.io"],
            "resources": ["volumesnapshots"],
            "verbs": ["create", "list", "delete"],
        }
    ],
}
# Components whose objects do not carry their name: they are the namespace, or belong to the stack as a whole.
_SHARED = {"RestrictedNamespace", "DefaultStorageClass"}
_CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding", "StorageClass"}
# Kind -> where the template of its pods is.
_TEMPLATES = {
    **dict.fromkeys(("Deployment", "StatefulSet", "Job"), "spec.template"),
    "CronJob": "spec.jobTemplate.spec.template",
}


@dataclass(frozen=True)
class Pods:
    """The pods of one workload."""

    workload: Resource

    @property
    def path(self) -> str:
        """Where their spec is."""
        return f"{_TEMPLATES[self.workload.kind]}.spec"

    @property
    def template(self) -> Mapping[str, Any]:
        return _template(self.workload)

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.template["spec"]
        return spec

    def containers(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each container with the path that leads to it."""
        for group in ("initContainers", "containers"):
            for container in self.spec.get(group, []):
                yield f"{self.path}.{group}[{container['name']}]", container

    def ports(self) -> dict[str, int]:
        """Container ports by name."""
        return {p["name"]: p["containerPort"] for _, c in self.containers() for p in c.get("ports", []) if "name" in p}


def pods(run: Recorded) -> list[Pods]:
    """The pods of every workload."""
    return [Pods(workload) for kind in _TEMPLATES for workload in run.of(kind)]


def parents(run: Recorded) -> Iterator[str]:
    """Nothing but components and the provider stands at top level; everything else has a component above it."""
    components = {r.urn for r in run.components()}
    for r in run.resources:
        if r in run.components() or r.type == "pulumi:providers:kubernetes":
            if "pulumi:pulumi:Stack" not in r.parent:
                yield _fault(r, "parent", f"must be the stack, is {r.parent}")
        elif r.parent not in components:
            yield _fault(r, "parent", "must be a component")


def providers(run: Recorded) -> Iterator[str]:
    """There is one Kubernetes provider, which is bound to a context and holds no kubeconfig.

    The policy pack reports an object that uses the default provider, so all of them use this one.
    """
    [provider] = run.of("kubernetes")
    if provider.inputs.get("kubeconfig") != "":
        yield _fault(provider, "kubeconfig", 'must be "", or a path of this machine gets into the state')
    if not provider.inputs.get("context"):
        yield _fault(provider, "context", "must be the stack's context")


def names(run: Recorded) -> Iterator[str]:
    """Logical and Kubernetes names come from the component's, so that two of a kind can live side by side."""
    for r, component in _children(run):
        if not _derived(r.name, component.name):
            yield _fault(r, "name", f"must be {component.name} or begin with {component.name}-")
    for r, component in _objects(run):
        name = r.manifest["metadata"].get("name", "")
        if r.kind in _CLUSTER_WIDE - {"Namespace"}:
            # The name of a class is a DNS name, which has no colon.
            namespace, _, name = name.partition("-" if r.kind == "StorageClass" else ":")
            if namespace != run.exports["namespace"]:
                yield _fault(r, "metadata.name", "must begin with the namespace: it is cluster-wide")
        if not _derived(name, component.name) and component.kind not in _SHARED:
            yield _fault(r, "metadata.name", f"must be {component.name} or begin with {component.name}-, is {name!r}")


def namespaces(run: Recorded) -> Iterator[str]:
    """Everything that can be in a namespace is in the stack's own."""
    for r, _ in _objects(run):
        if r.kind not in _CLUSTER_WIDE and r.manifest["metadata"].get("namespace") != run.exports["namespace"]:
            yield _fault(r, "metadata.namespace", f"must be {run.exports['namespace']}")


def labels(run: Recorded) -> Iterator[str]:
    """Every object and pod of a component names that component, and what it is in it."""
    for r, component in _objects(run):
        if component.kind in _SHARED:
            continue
        places = {"metadata.labels": r.manifest["metadata"].get("labels", {})}
        if r.kind in _TEMPLATES:
            places[f"{_TEMPLATES[r.kind]}.metadata.labels"] = _template(r)["metadata"].get("labels", {})
        for place, found in places.items():
            if found.get(INSTANCE) != component.name:
                yield _fault(r, place, f"{INSTANCE} must be {component.name}, is {found.get(INSTANCE)}")
            for label in ("app.kubernetes.io/name", "app.kubernetes.io/component"):
                if not found.get(label):
                    yield _fault(r, place, f"{label} must be set")


def field_owners(run: Recorded) -> Iterator[str]:
    """Every object, and every patch of one, takes its fields back from whoever changed them."""
    for r in run.kubernetes():
        force = "pulumi.com/patchForce"
        if r.kind != "Release" and r.manifest["metadata"].get("annotations", {}).get(force) != "true":
            yield _fault(r, "metadata.annotations", f"{force} must be true")


def selectors(run: Recorded) -> Iterator[str]:
    """A selector is `Identity.selector` of pods of its own component; a peer finds some pod of the stack."""
    for r, component in _objects(run):
        spec = r.manifest.get("spec", {})
        own = [_identity(p).selector for p in pods(run) if p.workload.parent == component.urn]
        for field, selector in {
            "spec.selector": spec.get("selector", {}).get("matchLabels", spec.get("selector")),
            "spec.podSelector.matchLabels": spec.get("podSelector", {}).get("matchLabels"),
        }.items():
            if selector and selector != SOLVER and selector not in own:
                yield _fault(r, field, f"must be the three labels of the pods of {component.name} that never change")
        for i, rule in enumerate(spec.get("ingress", []) if r.kind == "NetworkPolicy" else []):
            for j, peer in enumerate(rule.get("from", [])):
                wanted = peer["podSelector"]["matchLabels"]
                if not any(wanted.items() <= p.labels.items() for p in pods(run)):
                    yield _fault(r, f"spec.ingress[{i}].from[{j}].podSelector", "matches no pod of the stack")


def ports(run: Recorded) -> Iterator[str]:
    """One port all the way: container, probe, Service, NetworkPolicy, Ingress, and what the client is told."""
    services = {s.manifest["metadata"]["name"]: s.manifest["spec"] for s in run.of("Service")}
    for p in pods(run):
        for path, container in p.containers():
            yield from _probed_ports(p, path, container)
            yield from _ports_in_environment(p, path, container, services)
    yield from _ports_of_services(run)
    yield from _ports_of_policies(run)
    yield from _ports_of_ingresses(run, services)
    for w in run.of("StatefulSet"):
        if services.get(w.manifest["spec"]["serviceName"], {}).get("clusterIP") != "None":
            yield _fault(w, "spec.serviceName", "must name a headless Service of the stack")


def _probed_ports(p: Pods, path: str, container: Mapping[str, Any]) -> Iterator[str]:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        action = container.get(probe, {})
        port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
        if port is not None and port not in p.ports():
            yield _fault(p.workload, f"{path}.{probe}", f"asks port {port}, which no container has")


def _ports_in_environment(
    p: Pods, path: str, container: Mapping[str, Any], services: Mapping[str, Any]
) -> Iterator[str]:
    env = {e["name"]: e.get("value") for e in container.get("env", [])}
    if "PORT" in env and env["PORT"] not in map(str, p.ports().values()):
        yield _fault(p.workload, f"{path}.env[PORT]", f"is {env['PORT']}, which no container has")
    for host in filter(None, (env.get("MONGO_SERVICE_HOST") or "").split(",")):
        service = services.get(host.partition(".")[2], {"ports": []})
        if env.get("MY_MONGO_PORT") not in [str(port["port"]) for port in service["ports"]]:
            yield _fault(p.workload, f"{path}.env[MONGO_SERVICE_HOST]", f"{host} has no port of a Service")


def _ports_of_services(run: Recorded) -> Iterator[str]:
    for s in run.of("Service"):
        spec = s.manifest["spec"]
        reached = [p for p in pods(run) if spec["selector"].items() <= p.labels.items()]
        for port in spec["ports"]:
            target = port["targetPort"]
            if not reached or any(target not in p.ports() for p in reached):
                yield _fault(s, f"spec.ports[{port['name']}].targetPort", f"{target} is no port of its pods")


def _ports_of_policies(run: Recorded) -> Iterator[str]:
    for policy in run.of("NetworkPolicy"):
        selector = policy.manifest["spec"]["podSelector"].get("matchLabels", {})
        if selector == SOLVER:
            continue
        known = {n for p in pods(run) if selector.items() <= p.labels.items() for n in p.ports().values()}
        for i, rule in enumerate(policy.manifest["spec"].get("ingress", [])):
            opened = {port["port"] for port in rule.get("ports", [])}
            if opened != known:
                yield _fault(policy, f"spec.ingress[{i}].ports", f"must be {sorted(known)}, is {sorted(opened)}")


def _ports_of_ingresses(run: Recorded, services: Mapping[str, Any]) -> Iterator[str]:
    for ingress in run.of("Ingress"):
        for path in (path for rule in ingress.manifest["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            open_ports = services.get(backend["name"], {}).get("ports", [])
            if backend["port"]["number"] not in [port["port"] for port in open_ports]:
                yield _fault(ingress, f"spec.rules[{path['path']}].backend", f"no Service has {backend}")


def tokens(run: Recorded) -> Iterator[str]:
    """A pod has a token of the API where its account was granted something, and nowhere else."""
    bindings = run.of("ClusterRoleBinding") + run.of("RoleBinding")
    bound = {s["name"] for b in bindings for s in b.manifest["subjects"]}
    for p in pods(run):
        mounts, uses = p.spec.get("automountServiceAccountToken"), p.spec.get("serviceAccountName") in bound
        if mounts is not uses:
            yield _fault(p.workload, f"{p.path}.automountServiceAccountToken", f"must be {uses}, is {mounts}")
    for account in run.of("ServiceAccount"):
        if account.manifest.get("automountServiceAccountToken") is not False:
            yield _fault(account, "automountServiceAccountToken", "must be False: a pod asks for it by itself")
    for kind, rules in GRANTED.items():
        for role in run.of(kind):
            if role.manifest["rules"] != rules:
                yield _fault(role, "rules", f"must be {rules}")


def secrets(run: Recorded) -> Iterator[str]:
    """What was generated is marked as secret everywhere, and of all objects only Secrets hold it."""
    for r in run.resources:
        for path, value in _leaves({"inputs": r.inputs, "outputs": r.outputs, "options": r.options}):
            if _leaks(value):
                yield _fault(r, path.partition(".")[2], "holds a secret in the open")
            elif isinstance(value, SecretValue) and r in run.kubernetes() and r.kind != "Secret":
                yield _fault(r, path.partition(".")[2], "a secret belongs into a Secret")
    for path, value in _leaves(run.exports):
        if _leaks(value):
            yield f"export {path}: holds a secret in the open"


def service_links(run: Recorded) -> Iterator[str]:
    """No Service of the namespace becomes a variable."""
    for p in pods(run):
        if p.spec.get("enableServiceLinks") is not False:
            yield _fault(p.workload, f"{p.path}.enableServiceLinks", "must be False")


def policies(run: Recorded) -> Iterator[str]:
    """Every pod is closed to what no policy lets in; a policy without rules closes a namespace of our own.

    Somebody else's namespace is theirs to close; there, every pod that listens is closed all the same.
    """
    ours = bool(run.of("RestrictedNamespace"))
    closing = [r.manifest["spec"] for r in run.of("NetworkPolicy") if "Ingress" in r.manifest["spec"]["policyTypes"]]
    if ours and not any(not spec["podSelector"] and not spec.get("ingress") for spec in closing):
        yield f"Namespace {run.exports['namespace']}: NetworkPolicy: one must select every pod and let nobody in"
    for p in pods(run):
        selected = any(s["podSelector"].get("matchLabels", {}).items() <= p.labels.items() for s in closing)
        if not selected and (ours or p.ports()):
            yield _fault(p.workload, "spec.template.metadata.labels", "no NetworkPolicy selects these pods")


def outputs(run: Recorded) -> Iterator[str]:
    """Every component ends with register_outputs, or its `up` would show it as never finished."""
    for component in run.components():
        if not component.outputs_registered:
            yield _fault(component, "outputs", "register_outputs was not called")


def dependencies(run: Recorded) -> Iterator[str]:
    """Order comes from outputs; where no output gives it, `depends_on` does, and nowhere else."""
    by_urn = {r.urn: r for r in run.resources}
    table = JUSTIFIED_DEPENDENCIES if run.of("RestrictedNamespace") else JUSTIFIED_IN_A_GIVEN_NAMESPACE
    for r in run.resources:
        awaited = {_beside(by_urn[urn], r, by_urn).kind for urn in r.depends_on}
        justified = table.get(r.kind, set())
        if (
            r.parent in by_urn
            and by_urn[r.parent].kind in ("MongoStatefulSet", "PreviousUsers")
            and awaited in _GUARDED.get(r.kind, ())
        ):
            continue
        for kind in sorted(awaited - justified):
            yield _fault(r, "dependsOn", f"that it waits for a {kind} was not justified")
        for kind in sorted(justified - awaited):
            yield _fault(r, "dependsOn", f"must hold the {kind}, which no output names")


CHECKS: tuple[Check, ...] = (
    *(parents, providers, names, namespaces, labels, field_owners, selectors, ports, tokens, secrets, service_links),
    *(policies, outputs, dependencies),
)


def _fault(r: Resource, *words: str) -> str:
    return ": ".join((f"{r.kind} {r.name}", *words))


def _derived(name: str, component: str) -> bool:
    return name == component or name.startswith(f"{component}-")


def _children(run: Recorded) -> Iterator[tuple[Resource, Resource]]:
    """Each resource that has a component above it, with that component."""
    components = {r.urn: r for r in run.components()}
    return ((r, components[r.parent]) for r in run.resources if r.parent in components)


def _objects(run: Recorded) -> Iterator[tuple[Resource, Resource]]:
    """Each Kubernetes object that is ours, with its component; a patch is of somebody else's, a release is Helm's."""
    return ((r, c) for r, c in _children(run) if r in run.kubernetes() and not r.kind.endswith(("Patch", "Release")))


def _identity(p: Pods) -> Identity:
    return Identity(*(p.labels.get(f"app.kubernetes.io/{label}", "") for label in ("name", "instance", "component")))


def _beside(other: Resource, r: Resource, by_urn: Mapping[str, Resource]) -> Resource:
    """What stands on the same level as `r` and holds `other`: depends_on a component is spread over its children."""
    return other if other.parent == r.parent else by_urn.get(other.parent, other)


def _template(workload: Resource) -> Mapping[str, Any]:
    """The template of a workload's pods."""
    found: Any = workload.manifest
    for step in _TEMPLATES[workload.kind].split("."):
        found = found[step]
    template: Mapping[str, Any] = found
    return template


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON
    """Every value that is no container, with its path; a secret counts as a whole."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def _leaks(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str) and "generated-for-" in value
