// Package standin is what the stand-ins for Pulumi's plugins have in common: they refuse by name what they lack.
package standin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
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
	create, update := provider.Create, provider.Update
	provider.Create = func(ctx context.Context, request p.CreateRequest) (p.CreateResponse, error) {
		response, err := create(ctx, request)
		if err == nil {
			err = textOnly(response.Properties)
		}
		return response, err
	}
	provider.Update = func(ctx context.Context, request p.UpdateRequest) (p.UpdateResponse, error) {
		response, err := update(ctx, request)
		if err == nil {
			err = textOnly(response.Properties)
		}
		return response, err
	}
	provider.Invoke = func(_ context.Context, request p.InvokeRequest) (p.InvokeResponse, error) {
		return p.InvokeResponse{}, s.refuse("the function " + strings.TrimSpace(string(request.Token)))
	}
	return provider
}

// textOnly refuses outputs that are no UTF-8, as the official releases do: their framework cannot send them. This one can,
// and what works with a stand-in must work with an official plugin.
func textOnly(outputs property.Map) error {
	for _, output := range outputs.All {
		if !isText(output) {
			return errors.New("grpc: error while marshaling: string field contains invalid UTF-8")
		}
	}
	return nil
}

func isText(value property.Value) bool {
	switch {
	case value.IsString():
		return utf8.ValidString(value.AsString())
	case value.IsArray():
		for _, item := range value.AsArray().All {
			if !isText(item) {
				return false
			}
		}
	case value.IsMap():
		return textOnly(value.AsMap()) == nil
	}
	return true
}
