// Pulumi's Kubernetes provider. Its own main package embeds generated files that its module lacks; this one reads the
// module's schema, which lies beside the program.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

func main() {
	program, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	schema, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		log.Fatal(err)
	}
	provider.Serve("kubernetes", version.Version, schema, nil)
}
