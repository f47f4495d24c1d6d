"""A stand-in for the official Kubernetes provider, for machines that cannot have that one.

`provider` answers the engine; `diff` says what changed and what a change costs; `rules` say when an object is ready and
`awaits` waits for it, or for what `expressions` say; `managers` knows who owns which field; `client` talks to the
cluster; `objects` and `values` shape data.

What it does differently, knowingly: a context that does not exist fails already in a preview; a refused update leaves
the state as it was, where the official one notes it as unready; a diff compares quantities by value everywhere; and
there are no Helm releases, no YAML components and no rendering to files.
"""


def main() -> None:
    """Serves the provider until the engine is done with it."""
    import sys

    from pulumi.runtime.proto import provider_pb2_grpc

    from sandbox.plugins.kubernetes.client import forget_credentials
    from sandbox.plugins.kubernetes.provider import KubernetesProvider
    from sandbox.plugins.serving import serve

    provider = KubernetesProvider(next((each for each in sys.argv[1:] if not each.startswith("-")), ""))

    def stop() -> None:
        provider.cancel()
        forget_credentials()

    serve(lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server), stop)
