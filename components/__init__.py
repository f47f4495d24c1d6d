"""What is deployed: one component per file, each usable from any program, none reading config."""

from components.default_storage_class import DefaultStorageClass, DefaultStorageClassArgs, NewStorageClass
from components.fixed_namespace import FixedNamespace
from components.ingress_controller import IngressController, IngressControllerArgs
from components.mongo_stateful_set import MongoStatefulSet, MongoStatefulSetArgs
from components.nginx_ingress import NginxIngress, NginxIngressArgs
from components.pacman_deployment import PacmanDeployment, PacmanDeploymentArgs
from components.restricted_namespace import RestrictedNamespace

__all__ = [
    "DefaultStorageClass",
    "DefaultStorageClassArgs",
    "FixedNamespace",
    "IngressController",
    "IngressControllerArgs",
    "MongoStatefulSet",
    "MongoStatefulSetArgs",
    "NewStorageClass",
    "NginxIngress",
    "NginxIngressArgs",
    "PacmanDeployment",
    "PacmanDeploymentArgs",
    "RestrictedNamespace",
]
