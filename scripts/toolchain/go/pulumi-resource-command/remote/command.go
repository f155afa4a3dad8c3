package remote

import (
	"context"
	"fmt"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"

	"php-cluster/toolchain/pulumi-resource-command/lifecycle"
)

// Command is the resource command:remote:Command.
type Command struct{}

// CommandInputs are the inputs of the official plugin.
type CommandInputs struct {
	lifecycle.Inputs
	Stdin                  *string            `pulumi:"stdin,optional"`
	Logging                *lifecycle.Logging `pulumi:"logging,optional"`
	Connection             *Connection        `pulumi:"connection"                      provider:"secret"`
	Environment            map[string]string  `pulumi:"environment,optional"`
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
}

// CommandOutputs are the inputs and what the last command printed.
type CommandOutputs struct {
	CommandInputs
	lifecycle.Outputs
}

// Create runs the create command.
func (*Command) Create(
	ctx context.Context, request infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandOutputs], error) {
	state := CommandOutputs{CommandInputs: request.Inputs}
	id, err := resource.NewUniqueHex(request.Name, 8, 0)
	if err == nil && !request.DryRun {
		err = state.run(ctx, state.CommandInputs.Create)
	}
	return infer.CreateResponse[CommandOutputs]{ID: id, Output: state}, err
}

// Update runs the update command, or create again.
func (*Command) Update(
	ctx context.Context, request infer.UpdateRequest[CommandInputs, CommandOutputs],
) (infer.UpdateResponse[CommandOutputs], error) {
	state := CommandOutputs{CommandInputs: request.Inputs, Outputs: request.State.Outputs}
	var err error
	if !request.DryRun {
		err = state.run(ctx, request.Inputs.ForUpdate())
	}
	return infer.UpdateResponse[CommandOutputs]{Output: state}, err
}

// Delete runs the delete command.
func (*Command) Delete(
	ctx context.Context, request infer.DeleteRequest[CommandOutputs],
) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, request.State.run(ctx, request.State.CommandInputs.Delete)
}

func (state *CommandOutputs) run(ctx context.Context, command *string) error {
	if command == nil {
		return nil
	}
	client, err := state.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // the command's own end is what counts
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close() //nolint:errcheck // closed already when the command ended well
	if err := state.setEnvironment(ctx, session); err != nil {
		return err
	}
	if state.Stdin != nil && *state.Stdin != "" {
		session.Stdin = strings.NewReader(*state.Stdin)
	}
	capture := lifecycle.NewCapture(ctx, state.Logging)
	session.Stdout, session.Stderr = capture.Stdout, capture.Stderr
	printed, err := capture.Finish(*command, session.Run(*command))
	if err == nil {
		state.Outputs = printed
	}
	return err
}

// setEnvironment asks the server for variables. One that the program wants must be taken; those with earlier output are
// a courtesy, since most servers take none.
func (state *CommandOutputs) setEnvironment(ctx context.Context, session *ssh.Session) error {
	const advice = "Unable to set '%s'. The SSH server takes it only if its AcceptEnv names it; a shell also takes " +
		"'VAR=value command'"
	for name, value := range state.Environment {
		if err := session.Setenv(name, value); err != nil {
			p.GetLogger(ctx).Errorf(advice, name)
			return fmt.Errorf("could not set environment variable %q: %w", name, err)
		}
	}
	for name, value := range state.PreviousOutput(state.AddPreviousOutputInEnv) {
		if err := session.Setenv(name, value); err != nil {
			p.GetLogger(ctx).Warningf(advice, name)
		}
	}
	return nil
}
