// Package lifecycle holds what local and remote commands share: which command runs when, and what becomes of its output.
package lifecycle

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// Inputs are the commands of a resource's life. Triggers that change replace the resource, whatever Update says.
type Inputs struct {
	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`
}

// ForUpdate is the command that an update runs: Update, else Create again, else none.
func (in Inputs) ForUpdate() *string {
	if in.Update != nil {
		return in.Update
	}
	return in.Create
}

// Outputs are what the last command printed, without the last line's end.
type Outputs struct {
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// PreviousOutput is the environment in which the next command finds what the last one printed.
func (out Outputs) PreviousOutput(wanted *bool) map[string]string {
	previous := map[string]string{}
	if wanted != nil && !*wanted {
		return previous
	}
	if out.Stdout != "" {
		previous["PULUMI_COMMAND_STDOUT"] = out.Stdout
	}
	if out.Stderr != "" {
		previous["PULUMI_COMMAND_STDERR"] = out.Stderr
	}
	return previous
}

// Logging says which output of a command the engine shows while it runs.
type Logging string

const (
	stdout Logging = "stdout"
	stderr Logging = "stderr"
	both   Logging = "stdoutAndStderr"
	none   Logging = "none"
)

// Values lists the values that a program may give.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: string(stdout), Value: stdout},
		{Name: string(stderr), Value: stderr},
		{Name: string(both), Value: both},
		{Name: string(none), Value: none},
	}
}

func (l *Logging) shows(stream Logging) bool {
	return l == nil || *l == both || *l == stream
}

// Capture collects the two streams of one command.
type Capture struct {
	Stdout, Stderr   io.Writer
	out, err, merged bytes.Buffer
	lines            *io.PipeWriter
	shown            sync.WaitGroup
	unshown          error
}

// NewCapture starts to show what logging asks for, line by line.
func NewCapture(ctx context.Context, logging *Logging) *Capture {
	reader, writer := io.Pipe()
	capture := &Capture{lines: writer}
	merged := &locked{writer: &capture.merged}
	stream := func(own io.Writer, name Logging) io.Writer {
		if logging.shows(name) {
			return io.MultiWriter(own, merged, writer)
		}
		return io.MultiWriter(own, merged)
	}
	capture.Stdout, capture.Stderr = stream(&capture.out, stdout), stream(&capture.err, stderr)
	capture.shown.Go(func() {
		lines := bufio.NewScanner(reader)
		for lines.Scan() {
			p.GetLogger(ctx).InfoStatus(lines.Text())
		}
		capture.unshown = lines.Err()
		// A line longer than the scanner takes must not hold up the command that prints it.
		_, _ = io.Copy(io.Discard, reader)
	})
	return capture
}

// Finish ends the showing and gives the outputs, or an error with everything that was printed.
func (c *Capture) Finish(command string, problem error) (Outputs, error) {
	_ = c.lines.Close()
	c.shown.Wait()
	if problem != nil {
		return Outputs{}, fmt.Errorf("%w: running %q:\n%s", problem, command, c.merged.String())
	}
	if c.unshown != nil {
		return Outputs{}, fmt.Errorf("%w: running %q: release 1.2.1 of the official plugin waits for ever when a command prints "+
			"a line of more than 64 KiB, unless its logging is `none`", c.unshown, command)
	}
	return Outputs{
		Stdout: strings.TrimSuffix(c.out.String(), "\n"),
		Stderr: strings.TrimSuffix(c.err.String(), "\n"),
	}, nil
}

type locked struct {
	mutex  sync.Mutex
	writer io.Writer
}

func (l *locked) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.writer.Write(text)
}
