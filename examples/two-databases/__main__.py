"""A program of somebody else that takes one component from Pacman, twice, in one namespace.

Every name comes from the component's own, so that the two do not meet: `orders` has the pod orders-0, the Service
orders, the Secret orders-app; `users` has its own. A pod that carries `orders.client_labels` reaches the one and not
the other.
"""

import sys
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

# A program elsewhere has components/ and cluster.py beside it, as a copy or as a submodule.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.mongo import MongoStatefulSet, MongoStatefulSetArgs
from components.restricted_namespace import RestrictedNamespace

config = pulumi.Config()
provider = k8s.Provider("kubernetes", kubeconfig="", context=config.require("context"))
on_cluster = pulumi.ResourceOptions(providers={"kubernetes": provider})
namespace = RestrictedNamespace(config.require("namespace"), opts=on_cluster)

for name in ("orders", "users"):
    database = MongoStatefulSet(
        name,
        MongoStatefulSetArgs(
            namespace=namespace.namespace,
            image=config.require("image"),
            members=1,
            volume_size="1Gi",
            storage_class=config.require("storageClass"),
            database="shop",
        ),
        opts=on_cluster,
    )
    pulumi.export(f"{name}_uri", database.uri)
