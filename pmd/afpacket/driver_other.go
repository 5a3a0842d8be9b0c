//go:build !linux

package afpacket

import (
	"context"
	"fmt"
	"runtime"

	"example.org/pmd/pmd"
)

// Driver opens ports on network interfaces. AF_PACKET is Linux's: here every Open
// fails and says so.
type Driver struct {
	// JournalDir is not used here.
	JournalDir string
}

// Kind implements pmd.Driver.
func (Driver) Kind() string { return Kind }

// Open implements pmd.Driver: it reads the spec and fails.
func (Driver) Open(_ context.Context, spec pmd.Spec, _ pmd.Env) (pmd.Device, error) {
	cfg, err := configFromSpec(spec)
	if err != nil {
		return nil, err
	}
	if _, err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("afpacket: %s: AF_PACKET is a Linux interface; on %s use the drivers null and ring", spec.Interface, runtime.GOOS)
}
