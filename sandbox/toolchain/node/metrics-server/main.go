// The metrics-server, with Kubernetes' libraries of the other programs here, which are newer than its own. Since 1.35
// they look for the description of a type under another form of its name; all else is as in its own main package.
package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	namer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/metrics-server/cmd/metrics-server/app/options"
	"sigs.k8s.io/metrics-server/pkg/api"
	"sigs.k8s.io/metrics-server/pkg/api/generated/openapi"
)

// newName makes io.k8s.api.core.v1.Pod of k8s.io/api/core/v1.Pod.
func newName(name string) string {
	if rest, is := strings.CutPrefix(name, "k8s.io/"); is {
		return "io.k8s." + strings.ReplaceAll(rest, "/", ".")
	}
	return name
}

func definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	described := map[string]common.OpenAPIDefinition{}
	old := openapi.GetOpenAPIDefinitions(func(name string) spec.Ref { return ref(newName(name)) })
	for name, definition := range old {
		for number, needed := range definition.Dependencies {
			definition.Dependencies[number] = newName(needed)
		}
		described[newName(name)] = definition
	}
	return described
}

func run(opts *options.Options) error {
	if problems := opts.Validate(); len(problems) > 0 {
		return problems[0]
	}
	config, err := opts.ServerConfig()
	if err != nil {
		return err
	}
	names := namer.NewDefinitionNamer(api.Scheme)
	config.Apiserver.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, names)
	config.Apiserver.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, names)
	server, err := config.Complete()
	if err != nil {
		return err
	}
	return server.RunUntil(genericapiserver.SetupSignalHandler())
}

func main() {
	opts := options.NewOptions()
	command := &cobra.Command{Use: "metrics-server", RunE: func(*cobra.Command, []string) error { return run(opts) }}
	for _, flags := range opts.Flags().FlagSets {
		command.Flags().AddFlagSet(flags)
	}
	os.Exit(cli.Run(command))
}
