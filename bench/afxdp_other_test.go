//go:build !linux

package bench

import "testing"

func benchmarkAFPacket(b *testing.B, _, _ string) { b.Skip("AF_PACKET is Linux's") }

func benchmarkTap(b *testing.B, _ string) { b.Skip("tap devices are Linux's") }
