//go:build !linux

package service

import "errors"

// Capabilities is a set of capabilities, which are Linux's.
type Capabilities uint64

// String tells that there are none.
func (Capabilities) String() string { return "none" }

// ErrCgo is returned by Restrict where threads cannot be reached.
var ErrCgo = errors.New("capabilities are Linux's")

// Needed returns no capability.
func Needed(bool) Capabilities { return 0 }

// Restrict does nothing here.
func Restrict(Capabilities) (Capabilities, error) { return 0, nil }
