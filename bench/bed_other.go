//go:build !linux

package bench

import (
	"context"
	"errors"
)

// errVeth: there is nothing to run it on.
var errVeth = errors.New("AF_XDP is Linux's")

func lackingVeth() error { return errVeth }

func lackingSim() error { return errVeth }

func (b *bed) veth(context.Context, RigConfig, int) error { return errVeth }
