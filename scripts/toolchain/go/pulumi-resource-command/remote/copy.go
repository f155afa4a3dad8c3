package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// CopyToRemote is the resource command:remote:CopyToRemote.
type CopyToRemote struct{}

// CopyToRemoteInputs are the inputs of the official plugin.
type CopyToRemoteInputs struct {
	Connection *Connection          `pulumi:"connection"        provider:"secret"`
	Triggers   *[]any               `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Source     types.AssetOrArchive `pulumi:"source"`
	RemotePath string               `pulumi:"remotePath"`
}

// CopyToRemoteOutputs are the inputs: a copy has nothing to say for itself.
type CopyToRemoteOutputs struct{ CopyToRemoteInputs }

// Check refuses sources that cannot be copied before anything is created.
func (*CopyToRemote) Check(
	ctx context.Context, request infer.CheckRequest,
) (infer.CheckResponse[CopyToRemoteInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyToRemoteInputs](ctx, request.NewInputs)
	asset, archive := inputs.Source.Asset, inputs.Source.Archive
	fail := func(property, reason string) {
		failures = append(failures, p.CheckFailure{Property: property, Reason: reason})
	}
	switch {
	case err != nil:
	case asset != nil && archive != nil:
		fail("asset", "only one of asset or archive can be set")
	case asset == nil && archive == nil:
		fail("asset", "either asset or archive must be set")
	case asset != nil && !asset.IsPath() && !asset.IsText():
		fail("asset", "asset must be a path-based file asset or a text asset")
	case archive != nil && !archive.IsPath():
		fail("archive", "archive must be a path to a file or directory")
	}
	return infer.CheckResponse[CopyToRemoteInputs]{Inputs: inputs, Failures: failures}, err
}

// Create copies.
func (*CopyToRemote) Create(
	ctx context.Context, request infer.CreateRequest[CopyToRemoteInputs],
) (infer.CreateResponse[CopyToRemoteOutputs], error) {
	response := infer.CreateResponse[CopyToRemoteOutputs]{Output: CopyToRemoteOutputs{request.Inputs}}
	if request.DryRun {
		return response, nil
	}
	if err := request.Inputs.copy(ctx); err != nil {
		return response, err
	}
	id, err := resource.NewUniqueHex("", 8, 0)
	response.ID = id
	return response, err
}

// Update copies again when the content or the place is another one. Another connection alone copies nothing.
func (*CopyToRemote) Update(
	ctx context.Context, request infer.UpdateRequest[CopyToRemoteInputs, CopyToRemoteOutputs],
) (infer.UpdateResponse[CopyToRemoteOutputs], error) {
	response := infer.UpdateResponse[CopyToRemoteOutputs]{Output: CopyToRemoteOutputs{request.Inputs}}
	changed := request.Inputs.hash() != request.State.hash() || request.Inputs.RemotePath != request.State.RemotePath
	if request.DryRun || !changed {
		return response, nil
	}
	return response, request.Inputs.copy(ctx)
}

func (in *CopyToRemoteInputs) hash() string {
	if in.Source.Archive != nil {
		return in.Source.Archive.Hash
	}
	return in.Source.Asset.Hash
}

func (in *CopyToRemoteInputs) copy(ctx context.Context) error {
	client, err := in.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // every file is closed, with its errors, before
	files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true))
	if err != nil {
		return err
	}
	defer files.Close() //nolint:errcheck // as above
	target := target{files}
	if in.Source.Asset != nil && in.Source.Asset.IsText() {
		return target.text(in.Source.Asset.Text, in.RemotePath)
	}
	source := ""
	if in.Source.Asset != nil {
		source = in.Source.Asset.Path
	} else {
		source = in.Source.Archive.Path
	}
	return target.tree(source, in.RemotePath)
}

// target is the file system of the remote host.
type target struct{ files *sftp.Client }

// kind tells whether a remote path exists and is a folder.
func (t target) kind(remote string) (exists, folder bool, err error) {
	info, err := t.files.Stat(remote)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("failed to stat remote path %s: %w", remote, err)
	}
	return true, info.IsDir(), nil
}

func (t target) text(content, remote string) error {
	_, folder, err := t.kind(remote)
	if err != nil {
		return err
	}
	if folder {
		return fmt.Errorf("remote path %s is a directory; when using a text asset, remotePath must be a file path", remote)
	}
	if err := t.files.MkdirAll(path.Dir(remote)); err != nil {
		return fmt.Errorf("failed to create parent directories for %s: %w", remote, err)
	}
	return t.write(strings.NewReader(content), remote, "write text content")
}

// tree copies a file or a folder. A file goes into an existing folder under its own name, as does a folder that is named
// without a slash at its end; with one, its content goes into the remote path itself.
func (t target) tree(source, remote string) error {
	local, err := os.Open(source)
	if err != nil {
		return err
	}
	defer local.Close() //nolint:errcheck // only read
	info, err := local.Stat()
	if err != nil {
		return err
	}
	exists, folder, err := t.kind(remote)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if folder {
			remote = path.Join(remote, path.Base(source))
		} else if !exists {
			if err := t.files.MkdirAll(path.Dir(remote)); err != nil {
				return fmt.Errorf("failed to create parent directories for %s: %w", remote, err)
			}
		}
		return t.file(source, remote)
	}
	if !exists {
		if err := t.files.MkdirAll(remote); err != nil {
			return fmt.Errorf("failed to create remote directory %s: %w", remote, err)
		}
	}
	if !strings.HasSuffix(source, "/") {
		remote = path.Join(remote, path.Base(source))
	}
	return fs.WalkDir(os.DirFS(source), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		place := path.Join(remote, name)
		if !entry.IsDir() {
			return t.file(path.Join(source, name), place)
		}
		exists, folder, err := t.kind(place)
		switch {
		case err != nil:
			return err
		case exists && !folder:
			return fmt.Errorf("remote path %s exists but is not a directory", place)
		case !exists:
			if err := t.files.Mkdir(place); err != nil {
				return fmt.Errorf("failed to create remote directory %s: %w", place, err)
			}
		}
		return nil
	})
}

func (t target) file(source, remote string) error {
	local, err := os.Open(source)
	if err != nil {
		return err
	}
	defer local.Close() //nolint:errcheck // only read
	return t.write(local, remote, "copy file "+source)
}

// write fills a remote file; task says what for, should it fail.
func (t target) write(content io.Reader, remote, task string) error {
	file, err := t.files.Create(remote)
	if err != nil {
		return fmt.Errorf("failed to create remote file %s: %w", remote, err)
	}
	if _, err := file.ReadFrom(content); err != nil {
		return fmt.Errorf("failed to %s to remote path %s: %w", task, remote, errors.Join(err, file.Close()))
	}
	return file.Close()
}
