//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package journal

import (
	"errors"
	"os"
)

// lock cannot tell here whether a note's process lives.
func lock(*os.File) error { return errors.ErrUnsupported }

func ownDir(string) error { return errors.ErrUnsupported }
