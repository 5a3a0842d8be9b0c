//go:build !unix

package pcap

import (
	"context"
	"os"
)

// openInput opens a file to read.
func openInput(_ context.Context, path string) (*os.File, error) { return os.Open(path) }

// openOutput opens a file to write from its beginning. Files are not locked here:
// two ports that write the same spoil it.
func openOutput(path string) (*os.File, error) { return os.Create(path) }
