//go:build !linux

package cpu

import (
	"errors"
	"fmt"
	"runtime"
)

// Confine binds every thread of this process to the CPUs in s, except the threads listed. It
// needs Linux; here the error matches [errors.ErrUnsupported].
func Confine(s Set, except ...int) (restore func() error, err error) {
	return nil, fmt.Errorf("confine threads to %v: %w on %s; poll cores need Linux", s, errors.ErrUnsupported, runtime.GOOS)
}
