//go:build !linux

package bench

import "context"

func lackingPeers() error { return errVeth }

func openArena(context.Context, Comparison) (*arena, error) { return nil, errVeth }
