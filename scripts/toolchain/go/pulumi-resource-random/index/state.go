package index

import (
	"context"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// What the official plugin keeps in a state beside the outputs: the id once more, the release of the record's form, and
// hints for its bridge to Terraform.
const (
	idOutput    = "id"
	metaOutput  = "__meta"
	deltaOutput = "__pulumi_raw_state_delta"

	currentForm = `{"schema_version":"3"}`
)

// SharingStates makes a provider work with states that the official plugin has written, and write such as that one reads.
func SharingStates(provider p.Provider) p.Provider {
	create, read, diff, remove := provider.Create, provider.Read, provider.Diff, provider.Delete
	provider.Create = func(ctx context.Context, request p.CreateRequest) (p.CreateResponse, error) {
		response, err := create(ctx, request)
		if err == nil && !request.DryRun {
			response.Properties = response.Properties.
				Set(idOutput, property.New(response.ID)).Set(metaOutput, property.New(currentForm))
		}
		return response, err
	}
	provider.Read = func(ctx context.Context, request p.ReadRequest) (p.ReadResponse, error) {
		kept := request.Properties
		request.Properties = outputsOf(kept)
		response, err := read(ctx, request)
		for _, name := range []string{idOutput, metaOutput, deltaOutput} {
			if value, there := kept.GetOk(name); there && err == nil {
				response.Properties = response.Properties.Set(name, value)
			}
		}
		return response, err
	}
	provider.Diff = func(ctx context.Context, request p.DiffRequest) (p.DiffResponse, error) {
		request.State = outputsOf(request.State)
		return diff(ctx, request)
	}
	provider.Delete = func(ctx context.Context, request p.DeleteRequest) error {
		request.Properties = outputsOf(request.Properties)
		return remove(ctx, request)
	}
	return provider
}

func outputsOf(state property.Map) property.Map {
	return state.Delete(idOutput, metaOutput, deltaOutput)
}
