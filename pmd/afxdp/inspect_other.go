//go:build !linux

package afxdp

import (
	"errors"
	"fmt"
	"runtime"
)

// notHere is what every call returns.
func notHere() error {
	return fmt.Errorf("afxdp: AF_XDP is a Linux interface, this is %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Interfaces lists the interfaces of a network namespace. Here it fails.
func Interfaces(string) ([]string, error) { return nil, notHere() }

// Inspect reads the facts of one interface. Here it fails.
func Inspect(string, string) (*Facts, error) { return nil, notHere() }

// TryFeatures tries what the driver uses of the kernel. Here it fails.
func TryFeatures() ([]Feature, error) { return nil, notHere() }
