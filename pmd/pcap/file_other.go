//go:build !unix

package pcap

import "os"

// openOutput opens a file to write from its beginning. Files are not locked here:
// two ports that write the same spoil it.
func openOutput(path string) (*os.File, error) { return os.Create(path) }
