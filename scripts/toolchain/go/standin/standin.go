// Package standin is what the stand-ins for Pulumi's plugins have in common: they refuse by name what they lack.
package standin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
)

// Plugin describes what a stand-in offers of the official plugin.
type Plugin struct {
	// Name and Version are those of the official plugin.
	Name, Version string
	// Resources maps each type that exists here to the inputs of it that do not.
	Resources map[string][]string
}

func (s Plugin) refuse(what string) error {
	return fmt.Errorf("this stand-in for pulumi-%[1]s %[2]s does not offer %[3]s; the official plugin does: "+
		"`pulumi plugin install resource %[1]s %[2]s` on a network that reaches Pulumi's downloads, or a release of "+
		"https://github.com/pulumi/pulumi-%[1]s and OFFICIAL_PLUGINS=FOLDER for make", s.Name, s.Version, what)
}

// Guard makes a provider refuse resources, inputs and functions that it lacks, before anything is created.
func (s Plugin) Guard(provider p.Provider) p.Provider {
	check := provider.Check
	provider.Check = func(ctx context.Context, request p.CheckRequest) (p.CheckResponse, error) {
		resource := string(request.Urn.Type())
		missing, offered := s.Resources[resource]
		if !offered {
			return p.CheckResponse{}, s.refuse("the resource " + resource)
		}
		for input := range request.Inputs.All {
			if slices.Contains(missing, input) {
				return p.CheckResponse{}, s.refuse(fmt.Sprintf("the input %s of %s", input, resource))
			}
		}
		return check(ctx, request)
	}
	provider.Invoke = func(_ context.Context, request p.InvokeRequest) (p.InvokeResponse, error) {
		return p.InvokeResponse{}, s.refuse("the function " + strings.TrimSpace(string(request.Token)))
	}
	return provider
}
