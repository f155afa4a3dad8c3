// A stand-in for the plugin pulumi-random, for networks that cannot reach Pulumi's downloads.
//
// It offers RandomPassword, the one resource that php-cluster uses, as release 4.21.4 behaves, and refuses the rest by
// name.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"

	"php-cluster/toolchain/pulumi-resource-random/index"
	"php-cluster/toolchain/standin"
)

var plugin = standin.Plugin{
	Name:    "random",
	Version: "4.21.4",
	// `number` is the deprecated name of `numeric`.
	Resources: map[string][]string{"random:index/randomPassword:RandomPassword": {"number"}},
}

func main() {
	provider := plugin.Guard(index.SharingStates(infer.Provider(infer.Options{
		Resources: []infer.InferredResource{infer.Resource(&index.RandomPassword{})},
	})))
	if err := provider.Run(context.Background(), plugin.Name, plugin.Version); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
