//go:build !linux

package afxdp

import (
	"context"
	"fmt"
	"runtime"

	"example.org/pmd/pmd"
)

// Driver opens ports on network interfaces. AF_XDP is Linux's: here every Open
// fails and says so.
type Driver struct{}

// NewDriver returns the driver.
func NewDriver() *Driver { return &Driver{} }

// Kind implements pmd.Driver.
func (*Driver) Kind() string { return Kind }

// Open implements pmd.Driver: it reads the spec and fails.
func (*Driver) Open(_ context.Context, spec pmd.Spec, _ pmd.Env) (pmd.Device, error) {
	if _, err := configFromSpec(spec); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("afxdp: %s: AF_XDP is a Linux interface; on %s use the drivers null and ring", spec.Interface, runtime.GOOS)
}
