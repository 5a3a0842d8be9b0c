package ifnet

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
)

// NameSize is IFNAMSIZ: a name has at most one byte less, 15, as on Linux.
const NameSize = 16

// UnitNone is the unit of an interface whose name is its driver's name alone,
// IF_DUNIT_NONE.
const UnitNone = -1

// InitName returns the name of unit of a driver, if_initname: "ring" and 3 make
// "ring3", UnitNone adds nothing. What is longer than a name may be is cut, as the
// seed's is; Attach refuses a name it has already.
func InitName(driver string, unit int) string {
	name := driver
	if unit != UnitNone {
		name += strconv.Itoa(unit)
	}
	return name[:min(len(name), NameSize-1)]
}

// CheckName tells what is wrong with a name, or nil: a program asks before it makes what
// is to have an interface of that name.
func CheckName(name string) error { return checkName(name).as("check name", name) }

// checkName returns what is wrong with a name: nothing that a shell, a path, a
// zone, a list or a log line would take apart is allowed in one.
func checkName(name string) *failure {
	switch {
	case name == "":
		return fail(syscall.EINVAL, "the name is empty")
	case len(name) >= NameSize:
		return fail(syscall.ENAMETOOLONG, "the name has more than "+strconv.Itoa(NameSize-1)+" bytes")
	case name == "." || name == "..":
		return fail(syscall.EINVAL, "the name is a folder's")
	case name[0] == '-':
		return fail(syscall.EINVAL, "the name begins with -, as an option of a command does")
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/:,%"'\`, c) >= 0 {
			return fail(syscall.EINVAL, "the name has a byte that is not allowed: use printable ASCII without / : , % \" ' \\ and space")
		}
	}
	return nil
}

// QuoteName returns a name as it may stand in a message: as it is if it could be a
// name, else quoted, and cut if it is very long.
func QuoteName(name string) string {
	if checkName(name) == nil {
		return name
	}
	const enough = 40
	if len(name) > enough {
		return strconv.QuoteToASCII(name[:enough]) + "…"
	}
	return strconv.QuoteToASCII(name)
}

// errnoOf returns the errno that err wraps, or 0.
func errnoOf(err error) syscall.Errno {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return 0
}
