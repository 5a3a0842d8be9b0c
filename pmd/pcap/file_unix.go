//go:build unix

package pcap

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

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
