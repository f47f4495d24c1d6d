"""A program of somebody else that takes one component from Pacman, twice, in one namespace.

Every name comes from the component's own, so that the two do not meet: `orders` has the pod orders-0, the Service
orders, the Secret orders-app; `users` has its own. A pod that carries `orders.client_labels` reaches the one and not
the other. `components` is a link here; elsewhere it is a copy of that folder, or a submodule.

To try it: `pulumi install`, `pulumi stack init try`, set `context`, `namespace`, `image` and `storageClass` with
`pulumi config set`, and run `pulumi up`.
"""

import pulumi
import pulumi_kubernetes as k8s

from components import cluster
from components.fixed_namespace import FixedNamespace, FixedNamespaceArgs, namespace_owner
from components.mongo import MongoStatefulSet, MongoStatefulSetArgs
from components.restricted_namespace import RestrictedNamespace

config = pulumi.Config()
context, name = config.require("context"), config.require("namespace")
provider = k8s.Provider("kubernetes", kubeconfig="", context=context)
on_cluster = pulumi.ResourceOptions(providers={"kubernetes": provider})

# The state remembers cluster and namespace, and a change of either is refused.
known = cluster.read(context, name)
place = FixedNamespace(
    "namespace",
    FixedNamespaceArgs(
        namespace=name,
        context=context,
        cluster=known.identity if known else "",
        owner=namespace_owner(known.namespace if known else None),
    ),
)
after_place = pulumi.ResourceOptions.merge(on_cluster, pulumi.ResourceOptions(depends_on=[place]))
namespace = RestrictedNamespace(name, opts=after_place)

for database_name in ("orders", "users"):
    # Without what runs, it could neither remove members nor change passwords.
    running = cluster.read(context, name, database_name)
    database = MongoStatefulSet(
        database_name,
        MongoStatefulSetArgs(
            namespace=namespace.namespace,
            image=config.require("image"),
            members=1,
            volume_size="1Gi",
            storage_class=config.require("storageClass"),
            context=context,
            database="shop",
            runs=running.mongo if running else None,
        ),
        opts=on_cluster,
    )
    pulumi.export(f"{database_name}_uri", database.uri)
