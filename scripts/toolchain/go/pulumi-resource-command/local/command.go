// Package local runs commands on the machine of the engine.
package local

import (
	"context"
	"os"
	"os/exec"
	"strings"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"php-cluster/toolchain/pulumi-resource-command/lifecycle"
)

// Command is the resource command:local:Command.
type Command struct{}

// CommandInputs are the inputs of the official plugin but assetPaths and archivePaths.
type CommandInputs struct {
	lifecycle.Inputs
	Stdin                  *string            `pulumi:"stdin,optional"`
	Logging                *lifecycle.Logging `pulumi:"logging,optional"`
	Interpreter            *[]string          `pulumi:"interpreter,optional"`
	Dir                    *string            `pulumi:"dir,optional"`
	Environment            *map[string]string `pulumi:"environment,optional"`
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
	words := []string{"/bin/sh", "-c"}
	if state.Interpreter != nil && len(*state.Interpreter) > 0 {
		words = append([]string{}, *state.Interpreter...)
	}
	words = append(words, *command)
	process := exec.CommandContext(ctx, words[0], words[1:]...)
	process.Env = os.Environ()
	if state.Environment != nil {
		for name, value := range *state.Environment {
			process.Env = append(process.Env, name+"="+value)
		}
	}
	for name, value := range state.PreviousOutput(state.AddPreviousOutputInEnv) {
		process.Env = append(process.Env, name+"="+value)
	}
	if state.Dir != nil {
		process.Dir = *state.Dir
	}
	if state.Stdin != nil && *state.Stdin != "" {
		process.Stdin = strings.NewReader(*state.Stdin)
	}
	capture := lifecycle.NewCapture(ctx, state.Logging)
	process.Stdout, process.Stderr = capture.Stdout, capture.Stderr
	printed, err := capture.Finish(*command, process.Run())
	if err == nil {
		state.Outputs = printed
	}
	return err
}
