package usage

import (
	"errors"
	"fmt"

	"example.org/pmd/cpu"
	"example.org/pmd/pmd"
)

// mistake marks an error without adding words to it.
type mistake struct{ err error }

func (m mistake) Error() string { return m.err.Error() }
func (m mistake) Unwrap() error { return m.err }

// Errorf is fmt.Errorf for a mistake of the user.
func Errorf(format string, args ...any) error { return mistake{fmt.Errorf(format, args...)} }

// Wrap marks err as a mistake of the user; nil stays nil.
func Wrap(err error) error {
	if err == nil {
		return nil
	}
	return mistake{err}
}

// Is reports whether the user's words are at fault.
func Is(err error) bool {
	var m mistake
	var c *cpu.CPUError
	return errors.As(err, &m) || errors.As(err, &c) || errors.Is(err, pmd.ErrSpec)
}
