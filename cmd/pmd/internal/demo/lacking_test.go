package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"

	"example.org/pmd/cpu"
)

func TestLacking(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"not root":         {fmt.Errorf("netlab: unshare: %w", syscall.EPERM), true},
		"security module":  {syscall.EACCES, true},
		"no AF_XDP":        {fmt.Errorf("afxdp: socket: %w", syscall.EAFNOSUPPORT), true},
		"no system call":   {syscall.ENOSYS, true},
		"no veth":          {syscall.EOPNOTSUPP, true},
		"another system":   {errors.ErrUnsupported, true},
		"old kernel":       {fmt.Errorf("program: %w", ebpf.ErrNotSupported), true},
		"joined":           {errors.Join(errors.New("step"), syscall.EPERM), true},
		"interface in use": {syscall.EBUSY, false},
		"out of memory":    {syscall.ENOMEM, false},
		"our own mistake":  {syscall.EINVAL, false},
		"a wrong CPU":      {&cpu.CPUError{CPU: 9, Reason: cpu.ErrOffline}, false},
		"anything":         {io.ErrUnexpectedEOF, false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, lacking(c.err)) })
	}
}

func TestOneLine(t *testing.T) {
	assert.Equal(t, "a; b", oneLine(errors.Join(errors.New("a"), errors.New("b"))))
}

func TestEnding(t *testing.T) {
	alive := context.Background()
	dead, cancel := context.WithCancel(alive)
	cancel()
	bad, left := errors.New("bad"), errors.New("left")
	assert.NoError(t, ending(alive, nil, nil))
	assert.Equal(t, bad, ending(alive, bad, nil))
	assert.ErrorIs(t, ending(alive, bad, left), bad)
	assert.ErrorIs(t, ending(alive, bad, left), left)
	assert.Equal(t, errInterrupted, ending(dead, bad, nil), "the interrupt explains what else went wrong")
	assert.ErrorIs(t, ending(dead, bad, left), left, "but not what is left behind")
}
