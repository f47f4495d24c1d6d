// Package v2 stands for the SDK's resources made from YAML.
package v2

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RegisterResource fails: the types of all kinds, which it would need, are not in this build.
func RegisterResource(
	_ *pulumi.Context, apiVersion, kind, name string, _ pulumi.Input, _ ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	return nil, fmt.Errorf("%s %s %s: this build of the provider has no yaml/v2, helm/v4 Chart and kustomize/v2:"+
		" use helm/v3 Release or the resource's own class", apiVersion, kind, name)
}
