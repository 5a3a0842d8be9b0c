//go:build unix

package pcap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openInput opens a file to read. A named pipe is waited for until somebody writes to it, or
// until ctx is done.
func openInput(ctx context.Context, path string) (*os.File, error) {
	if info, err := os.Stat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return os.Open(path)
	}
	// Opened as usual it would wait for a writer, and nothing ends that.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })()
	raw, err := f.SyscallConn()
	if err == nil {
		// Reading would take a pipe without a writer for one at its end; to poll(2) it is
		// at its end when a writer has been there (fs/pipe.c, pipe_poll).
		err = raw.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		err = fmt.Errorf("open %s: nobody writes to this pipe: %w", path, ctx.Err())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openOutput opens a file to write from its beginning. A regular file is locked
// before it is emptied, so that no two ports, of whatever process, write the same.
func openOutput(path string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE
	info, err := os.Stat(path)
	if err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		// Opened as usual it would wait for a reader.
		flags = os.O_WRONLY | unix.O_NONBLOCK
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("open %s: nobody reads this pipe: start its reader first: %w", path, unix.ENXIO)
	}
	if err != nil {
		return nil, err
	}
	if !regular(f) {
		return f, nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another port or process writes it: name another file: %w", err)
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
