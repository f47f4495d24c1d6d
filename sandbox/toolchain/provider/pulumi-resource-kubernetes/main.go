// Pulumi's Kubernetes provider. Its own main package embeds generated files that its module lacks; this one reads the
// module's schema, which lies beside the program.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
	"golang.org/x/sys/unix"
)

// endWithEngine ends this process when nobody reads its output any more: an engine that was killed says nothing else.
func endWithEngine() {
	stdout := []unix.PollFd{{Fd: int32(os.Stdout.Fd())}} // the end of a pipe is reported without being asked for
	for {
		if _, err := unix.Poll(stdout, -1); err != unix.EINTR {
			os.Exit(0)
		}
	}
}

func main() {
	program, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	schema, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		log.Fatal(err)
	}
	go endWithEngine()
	provider.Serve("kubernetes", version.Version, schema, nil)
}
