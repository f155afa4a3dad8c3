#!/usr/bin/env bash
# A file that gocloud.dev has written in full cannot be read any more when its ".attrs" file beside it is empty: "EOF"
#
# Software: gocloud.dev/blob/fileblob v0.46.0, through which Pulumi's file backend keeps its states.
# Guess:    the file is written beside its place and renamed there, so whatever stops the writer, a reader finds the old content or
#           the new one.
# Happens:  so it is with the content. What kind of file it is goes into a second file, NAME.attrs, which is made empty and then
#           filled, in its own place. A writer that is killed between the two leaves it empty, and then opening the blob, whose
#           content is whole, is an error that says "EOF" and nothing else. Where NAME.attrs is missing, all is well.
# Matters:  `pulumi up` that was killed (a CI job cancelled, memory exhausted) may say "failed to load checkpoint: EOF" of a state
#           that is not damaged at all. Removing the empty *.attrs beside it brings it back.
set -euo pipefail

lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
export GOPATH=$lab/go GOCACHE=$lab/cache GOFLAGS=-modcacherw GOTOOLCHAIN=local
cd "$lab"
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"os"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
)

func read(bucket *blob.Bucket) string {
	content, err := bucket.ReadAll(context.Background(), "state.json")
	if err != nil {
		return "error: " + err.Error()
	}
	return string(content)
}

func main() {
	folder, err := os.MkdirTemp("", "bucket")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	bucket, err := fileblob.OpenBucket(folder, &fileblob.Options{NoTempDir: true})
	if err != nil {
		panic(err)
	}
	if err := bucket.WriteAll(context.Background(), "state.json", []byte("whole"), nil); err != nil {
		panic(err)
	}
	fmt.Println("as it was written:", read(bucket))
	attributes := folder + "/state.json.attrs"
	if err := os.Truncate(attributes, 0); err != nil {
		panic(err)
	}
	content, _ := os.ReadFile(folder + "/state.json")
	fmt.Println("empty .attrs, on the disk:", string(content))
	fmt.Println("empty .attrs:", read(bucket))
	if err := os.Remove(attributes); err != nil {
		panic(err)
	}
	fmt.Println("no .attrs:", read(bucket))
}
END
go mod init finding >/dev/null 2>&1
go get gocloud.dev/blob@v0.46.0 >/dev/null 2>&1
said=$(go run .)
printf 'gocloud.dev v0.46.0\n%s\n' "$said"
expected='as it was written: whole
empty .attrs, on the disk: whole
empty .attrs: error: EOF
no .attrs: whole'
[[ $said == "$expected" ]] || {
    echo "changed: expected
$expected"
    exit 1
}
