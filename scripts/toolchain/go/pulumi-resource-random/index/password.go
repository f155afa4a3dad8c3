// Package index holds the resources of the module `index`, which is the plugin's only one.
package index

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"reflect"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/bcrypt"
)

const (
	lowerCharacters   = "abcdefghijklmnopqrstuvwxyz"
	upperCharacters   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numericCharacters = "0123456789"
	specialCharacters = "!@#$%&*()-_=+[]{}<>:?"
	bcryptLimit       = 72
)

// RandomPassword is the resource random:index/randomPassword:RandomPassword.
type RandomPassword struct{}

// RandomPasswordInputs are the inputs of the official plugin. A change of any of them makes another password.
type RandomPasswordInputs struct {
	Keepers         *map[string]string `pulumi:"keepers,optional"         provider:"replaceOnChanges"`
	Length          int                `pulumi:"length"                   provider:"replaceOnChanges"`
	Lower           *bool              `pulumi:"lower,optional"           provider:"replaceOnChanges"`
	MinLower        *int               `pulumi:"minLower,optional"        provider:"replaceOnChanges"`
	Upper           *bool              `pulumi:"upper,optional"           provider:"replaceOnChanges"`
	MinUpper        *int               `pulumi:"minUpper,optional"        provider:"replaceOnChanges"`
	Numeric         *bool              `pulumi:"numeric,optional"         provider:"replaceOnChanges"`
	MinNumeric      *int               `pulumi:"minNumeric,optional"      provider:"replaceOnChanges"`
	Special         *bool              `pulumi:"special,optional"         provider:"replaceOnChanges"`
	MinSpecial      *int               `pulumi:"minSpecial,optional"      provider:"replaceOnChanges"`
	OverrideSpecial *string            `pulumi:"overrideSpecial,optional" provider:"replaceOnChanges"`
}

// settings are the inputs with every default in its place.
type settings struct {
	Keepers         *map[string]string `pulumi:"keepers,optional"`
	Length          int                `pulumi:"length"`
	Lower           bool               `pulumi:"lower"`
	MinLower        int                `pulumi:"minLower"`
	Upper           bool               `pulumi:"upper"`
	MinUpper        int                `pulumi:"minUpper"`
	Number          bool               `pulumi:"number"`
	Numeric         bool               `pulumi:"numeric"`
	MinNumeric      int                `pulumi:"minNumeric"`
	Special         bool               `pulumi:"special"`
	MinSpecial      int                `pulumi:"minSpecial"`
	OverrideSpecial *string            `pulumi:"overrideSpecial,optional"`
}

// RandomPasswordOutputs are every setting with its value, and the secrets.
type RandomPasswordOutputs struct {
	settings
	Result     string `pulumi:"result"     provider:"secret"`
	BcryptHash string `pulumi:"bcryptHash" provider:"secret"`
}

func (in RandomPasswordInputs) settled() settings {
	return settings{
		Keepers: in.Keepers, Length: in.Length,
		Lower: or(in.Lower, true), MinLower: or(in.MinLower, 0),
		Upper: or(in.Upper, true), MinUpper: or(in.MinUpper, 0),
		Number: or(in.Numeric, true), Numeric: or(in.Numeric, true), MinNumeric: or(in.MinNumeric, 0),
		Special: or(in.Special, true), MinSpecial: or(in.MinSpecial, 0),
		OverrideSpecial: in.OverrideSpecial,
	}
}

// Annotate gives the resource the token that the official plugin's SDK asks for.
func (r *RandomPassword) Annotate(annotator infer.Annotator) {
	annotator.SetToken("index/randomPassword", "RandomPassword")
}

// WireDependencies says that the secrets are known when they exist, and what the inputs leave open at once.
func (*RandomPassword) WireDependencies(
	fields infer.FieldSelector, _ *RandomPasswordInputs, outputs *RandomPasswordOutputs,
) {
	for _, setting := range []any{
		&outputs.Lower, &outputs.MinLower, &outputs.Upper, &outputs.MinUpper, &outputs.Number, &outputs.Numeric,
		&outputs.MinNumeric, &outputs.Special, &outputs.MinSpecial,
	} {
		fields.OutputField(setting).AlwaysKnown()
	}
	fields.OutputField(&outputs.Result).AlwaysSecret()
	fields.OutputField(&outputs.BcryptHash).AlwaysSecret()
}

// Check refuses lengths that cannot be.
func (*RandomPassword) Check(
	ctx context.Context, request infer.CheckRequest,
) (infer.CheckResponse[RandomPasswordInputs], error) {
	inputs, failures, err := infer.DefaultCheck[RandomPasswordInputs](ctx, request.NewInputs)
	// A length that is known later is checked by then.
	known := !request.NewInputs.Get("length").IsComputed()
	if err == nil && len(failures) == 0 && known && inputs.Length < 1 {
		failures = append(failures, p.CheckFailure{Property: "length", Reason: "expected length to be at least 1"})
	}
	return infer.CheckResponse[RandomPasswordInputs]{Inputs: inputs, Failures: failures}, err
}

// Diff compares settings rather than inputs: a default that is spelled out changes nothing.
func (*RandomPassword) Diff(
	_ context.Context, request infer.DiffRequest[RandomPasswordInputs, RandomPasswordOutputs],
) (infer.DiffResponse, error) {
	before, after := reflect.ValueOf(request.State.settings), reflect.ValueOf(request.Inputs.settled())
	changes := map[string]p.PropertyDiff{}
	for i := range before.NumField() {
		if !reflect.DeepEqual(before.Field(i).Interface(), after.Field(i).Interface()) {
			name, _, _ := strings.Cut(before.Type().Field(i).Tag.Get("pulumi"), ",")
			changes[name] = p.PropertyDiff{Kind: p.UpdateReplace}
		}
	}
	return infer.DiffResponse{HasChanges: len(changes) > 0, DetailedDiff: changes}, nil
}

// class is one kind of characters, and how many of it there must be at least.
type class struct {
	characters string
	wanted     bool
	least      int
}

func (in RandomPasswordInputs) classes() []class {
	special := specialCharacters
	if in.OverrideSpecial != nil && *in.OverrideSpecial != "" {
		special = *in.OverrideSpecial
	}
	return []class{
		{lowerCharacters, or(in.Lower, true), or(in.MinLower, 0)},
		{upperCharacters, or(in.Upper, true), or(in.MinUpper, 0)},
		{numericCharacters, or(in.Numeric, true), or(in.MinNumeric, 0)},
		{special, or(in.Special, true), or(in.MinSpecial, 0)},
	}
}

// Create draws a password from the system's random source.
func (*RandomPassword) Create(
	_ context.Context, request infer.CreateRequest[RandomPasswordInputs],
) (infer.CreateResponse[RandomPasswordOutputs], error) {
	in := request.Inputs
	out := RandomPasswordOutputs{settings: in.settled()}
	response := infer.CreateResponse[RandomPasswordOutputs]{ID: "none", Output: out}
	if request.DryRun {
		return response, nil
	}
	password, err := draw(in.classes(), in.Length)
	if err != nil {
		return response, err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password[:min(len(password), bcryptLimit)]), bcrypt.DefaultCost)
	if err != nil {
		return response, err
	}
	response.Output.Result, response.Output.BcryptHash = password, string(hash)
	return response, nil
}

func draw(classes []class, length int) (string, error) {
	all, password := "", []byte{}
	for _, kind := range classes {
		if kind.wanted {
			all += kind.characters
		}
		for range kind.least {
			character, err := pick(kind.characters)
			if err != nil {
				return "", err
			}
			password = append(password, character)
		}
	}
	if len(password) > length {
		return "", fmt.Errorf("the length %d is less than the least numbers of characters together", length)
	}
	if all == "" {
		return "", fmt.Errorf("no kind of characters is allowed")
	}
	for len(password) < length {
		character, err := pick(all)
		if err != nil {
			return "", err
		}
		password = append(password, character)
	}
	for i := len(password) - 1; i > 0; i-- {
		j, err := below(i + 1)
		if err != nil {
			return "", err
		}
		password[i], password[j] = password[j], password[i]
	}
	return string(password), nil
}

func pick(characters string) (byte, error) {
	position, err := below(len(characters))
	if err != nil {
		return 0, err
	}
	return characters[position], nil
}

func below(limit int) (int, error) {
	number, err := rand.Int(rand.Reader, big.NewInt(int64(limit)))
	if err != nil {
		return 0, err
	}
	return int(number.Int64()), nil
}

func or[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}
