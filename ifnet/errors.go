package ifnet

import (
	"strings"
	"syscall"
)

// Error is what every call of this package returns when it fails. It wraps the
// errno that the same call returns on BSD, so errors.Is(err, syscall.ENXIO) and
// the like tell what happened.
type Error struct {
	// Call is what was asked, in the words of a person: "set mtu".
	Call string
	// Interface is the name as the caller gave it, empty if none is concerned.
	Interface string
	// Errno is what the seed returns. It is 0 if Cause alone tells, as for a
	// context that was done.
	Errno syscall.Errno
	// Text says what is wrong and what would be right. It may be empty.
	Text string
	// Cause is the driver's error, or the context's, if one of them failed.
	Cause error
}

// Error names the call, the interface, what is wrong and the errno.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("ifnet: ")
	b.WriteString(e.Call)
	if e.Interface != "" {
		b.WriteString(" on ")
		b.WriteString(QuoteName(e.Interface))
	}
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	if e.Errno != 0 && e.Cause == nil {
		b.WriteString(": " + e.Errno.Error())
	}
	return b.String()
}

// Unwrap returns the errno and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Errno != 0 {
		errs = append(errs, e.Errno)
	}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	return errs
}

// failure is an error that the exported call completes with its own name and the
// interface.
type failure struct {
	errno syscall.Errno
	text  string
	cause error
}

func fail(errno syscall.Errno, text string) *failure { return &failure{errno: errno, text: text} }

// driverFailed is a failure of the driver. Its errno is the driver's own, which
// the wrapped error brings along, or else EIO.
func driverFailed(err error, what string) *failure {
	f := &failure{text: "the driver could not " + what, cause: err}
	if errnoOf(err) == 0 {
		f.errno = syscall.EIO
	}
	return f
}

// as completes a failure; a nil one is no error.
func (f *failure) as(call, name string) error {
	if f == nil {
		return nil
	}
	return &Error{Call: call, Interface: name, Errno: f.errno, Text: f.text, Cause: f.cause}
}
