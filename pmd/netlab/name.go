package netlab

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// maxIfName is the longest interface name in bytes: IFNAMSIZ of
// include/uapi/linux/if.h less the terminating zero.
const maxIfName = 15

const (
	// maxPrefix leaves room in maxIfName for the random part and a suffix.
	maxPrefix = 6
	// randomLen gives 32^5, 33 million, names: with a few labs at a time a
	// collision is unlikely, and the exclusive creation of the namespace
	// file catches it.
	randomLen = 5
	// maxNamespace keeps <lab>-<name> well under NAME_MAX.
	maxNamespace = 32
)

// errName is what a refused name is wrapped in.
var errName = errors.New("bad name")

// validIfName applies the kernel's own rule (dev_valid_name in
// net/core/dev.c), and also refuses what sysfs and netlink would take but no
// tool can type.
func validIfName(s string) error {
	switch {
	case s == "" || len(s) > maxIfName:
		return fmt.Errorf("interface name %q has %d bytes, 1 to %d are possible: %w", s, len(s), maxIfName, errName)
	case s == "." || s == "..":
		return fmt.Errorf("interface name %q is a folder of sysfs: %w", s, errName)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == ':' || c == '%' {
			return fmt.Errorf("interface name %q: byte %#02x is not possible: %w", s, c, errName)
		}
	}
	return nil
}

// validWord checks a prefix or the name of a namespace: it becomes part of a
// path and of interface names.
func validWord(what, s string, limit int) error {
	if s == "" || len(s) > limit {
		return fmt.Errorf("%s %q has %d bytes, 1 to %d are possible: %w", what, s, len(s), limit, errName)
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_') {
			return fmt.Errorf("%s %q: use letters, digits, and - or _ after the first: %w", what, s, errName)
		}
	}
	return nil
}

// labName returns prefix with a random tail.
func labName(prefix string) string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	var b [randomLen]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	for i := range b {
		b[i] = digits[b[i]%byte(len(digits))]
	}
	return prefix + string(b[:])
}
