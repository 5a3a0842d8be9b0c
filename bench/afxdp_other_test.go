//go:build !linux

package bench

import "testing"

func benchmarkAFXDP(b *testing.B, _ string) { b.Skip("AF_XDP is Linux's") }
