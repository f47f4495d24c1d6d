// Package kubernetes, with the two beside it, declares the part of Pulumi's Go SDK for Kubernetes that the provider
// itself uses. The whole SDK is 90 packages, which would take nine tenths of the provider's build.
package kubernetes

import (
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// UntypedArgs is an object of any kind.
type UntypedArgs map[string]any

var _ pulumi.Input = UntypedArgs{}

// ElementType is the type of the object's value.
func (UntypedArgs) ElementType() reflect.Type { return reflect.TypeFor[map[string]any]() }
