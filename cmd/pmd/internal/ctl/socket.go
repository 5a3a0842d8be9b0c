package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"example.org/pmd/cmd/pmd/internal/usage"
)

// SocketEnv is the environment variable that names the socket where no --socket
// does.
const SocketEnv = "PMD_SOCKET"

// probeTime bounds how long another process may take to accept a connection, and
// lockTime how long it may take to make a socket in the same directory.
const (
	probeTime = time.Second
	lockTime  = 3 * time.Second
)

// maxSocketPath is the longest path of a socket, in bytes: sun_path of struct
// sockaddr_un without the final zero, in its shortest form (104 bytes on BSD, 108
// on Linux, unix(7)).
const maxSocketPath = 103

// socketName is the name of the socket in its directory.
const socketName = "pmd.sock"

// DefaultSocket returns where the socket is if nobody says: under /run/pmd for
// root, else in the user's runtime directory, else in a directory of the user's
// own among the temporary files.
func DefaultSocket() string {
	if st, err := os.Stat("/run"); os.Geteuid() == 0 && err == nil && st.IsDir() {
		return filepath.Join("/run/pmd", socketName)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "pmd", socketName)
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("pmd-%d", os.Geteuid()), socketName)
}

// ErrInUse is wrapped when another process answers on the socket.
var ErrInUse = errors.New("another pmd answers there")

// Listen is ListenFor without a group.
func Listen(path string) (net.Listener, error) { return ListenFor(path, "") }

// ListenFor makes the control socket, mode 0600, or 0660 for a group, by name or number,
// whose members may look but change nothing. A socket that nobody answers on is
// replaced. If somebody does, the error wraps ErrInUse. Closing the listener
// removes the file, if it is still the one that was made here. The directory of
// the default socket is made if it is missing, mode 0700, or 0750 for the group.
func ListenFor(path, group string) (net.Listener, error) {
	gid, err := groupID(group)
	if err != nil {
		return nil, err
	}
	if len(path) > maxSocketPath {
		return nil, usage.Errorf("socket %s: path of %d bytes, %d at most: choose a shorter one with --socket", path, len(path), maxSocketPath)
	}
	dir := filepath.Dir(path)
	if path == DefaultSocket() {
		if err := makeDir(dir); err != nil {
			return nil, err
		}
		if err := share(dir, gid, 0o750); err != nil {
			return nil, fmt.Errorf("socket %s: directory: %w", path, err)
		}
	}
	// Two processes that start together could both find a dead socket, and the
	// second would remove the first one's new one.
	unlock, err := lockDir(dir, lockTime)
	if err != nil {
		return nil, fmt.Errorf("socket %s: directory: %w: choose another place with --socket", path, err)
	}
	defer unlock()
	if err := clearWay(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return restrict(c) }}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w: choose another place with --socket", path, errno(err))
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	made := &listener{UnixListener: ul, path: path}
	if err := errors.Join(os.Chmod(path, 0o600), share(path, gid, 0o660)); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), made.Close())
	}
	if made.file, err = os.Lstat(path); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), made.Close())
	}
	return made, nil
}

// noGroup is the group of a socket that is for nobody else.
const noGroup = -1

// groupID finds a group, by name or by number.
func groupID(group string) (gid int, err error) {
	if group == "" {
		return noGroup, nil
	}
	if gid, err = strconv.Atoi(group); err == nil && gid >= 0 {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, usage.Errorf("--socket-group %.40q: there is no such group: name one of /etc/group, or give its number", group)
	}
	return strconv.Atoi(g.Gid)
}

// share gives a file to a group, if there is one.
func share(path string, gid int, mode fs.FileMode) error {
	if gid == noGroup {
		return nil
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return fmt.Errorf("giving it to group %d: %w", gid, err)
	}
	return os.Chmod(path, mode)
}

// makeDir makes the directory of the default socket, or checks that the one that
// is there is ours: anybody can make directories among the temporary files.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("directory of the control socket: %w: choose another place with --socket", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("directory of the control socket: %w", err)
	}
	if !st.IsDir() || !ownedByUs(st) || st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("directory %s of the control socket can be changed by other users: remove it, or choose another place with --socket", dir)
	}
	return nil
}

// clearWay removes a socket that nobody answers on.
func clearWay(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if st.Mode().Type() != fs.ModeSocket {
		return usage.Errorf("socket %s: the file is there and is no socket: remove it, or choose another place with --socket", path)
	}
	conn, err := net.DialTimeout("unix", path, probeTime)
	switch {
	case err == nil:
		_ = conn.Close()
		fallthrough
	case errors.Is(err, syscall.EAGAIN), os.IsTimeout(err): // it is there, and busy
		return fmt.Errorf("socket %s: %w: end it with \"pmd stop --socket %s\", or choose another place with --socket", path, ErrInUse, path)
	case errors.Is(err, syscall.ECONNREFUSED):
	default:
		return fmt.Errorf("socket %s: trying whether anybody answers: %w: choose another place with --socket", path, errno(err))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("socket that nobody answers on: %w", err)
	}
	return nil
}

// errno returns the bare error number of a network error, whose own text repeats
// the path.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

// listener removes its file when it is closed, unless somebody put another one
// there.
type listener struct {
	*net.UnixListener
	path string
	file fs.FileInfo
	once sync.Once
	err  error
}

// Close implements net.Listener. Closing twice is harmless.
func (l *listener) Close() error {
	l.once.Do(func() {
		// First the file, then the socket: nobody finds a file that does not
		// answer.
		if st, err := os.Lstat(l.path); err == nil && l.file != nil && os.SameFile(st, l.file) {
			l.err = os.Remove(l.path)
		}
		l.err = errors.Join(l.err, l.UnixListener.Close())
	})
	return l.err
}
