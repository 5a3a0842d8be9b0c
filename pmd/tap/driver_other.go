//go:build !linux

package tap

import (
	"context"
	"fmt"
	"runtime"

	"example.org/pmd/pmd"
)

// Driver opens ports on tap devices. They are Linux's: here every Open fails and
// says so.
type Driver struct {
	// JournalDir is not used here.
	JournalDir string
}

// Kind implements pmd.Driver.
func (Driver) Kind() string { return Kind }

// Open implements pmd.Driver: it reads the spec and fails.
func (Driver) Open(_ context.Context, spec pmd.Spec, _ pmd.Env) (pmd.Device, error) {
	if _, err := configFromSpec(spec); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("tap: %s: this driver is for Linux; on %s use the drivers null and ring", spec.Interface, runtime.GOOS)
}
