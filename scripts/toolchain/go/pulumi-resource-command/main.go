// A stand-in for the plugin pulumi-command, for networks that cannot reach Pulumi's downloads.
//
// It offers the resources that php-cluster uses, behaves as release 1.2.1 does, and refuses the rest by name. Built on
// the official plugin's own framework, which decides about checks, diffs, defaults, secrets and unknowns.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-go-provider/infer"

	"php-cluster/toolchain/pulumi-resource-command/local"
	"php-cluster/toolchain/pulumi-resource-command/remote"
	"php-cluster/toolchain/standin"
)

var plugin = standin.Plugin{
	Name:    "command",
	Version: "1.2.1",
	Resources: map[string][]string{
		"command:local:Command":       {"assetPaths", "archivePaths"},
		"command:remote:Command":      nil,
		"command:remote:CopyToRemote": nil,
	},
}

func main() {
	provider := plugin.Guard(infer.Provider(infer.Options{
		Resources: []infer.InferredResource{
			infer.Resource(&local.Command{}),
			infer.Resource(&remote.Command{}),
			infer.Resource(&remote.CopyToRemote{}),
		},
	}))
	if err := provider.Run(context.Background(), plugin.Name, plugin.Version); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
