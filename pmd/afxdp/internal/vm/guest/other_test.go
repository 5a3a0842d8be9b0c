//go:build !linux

// Package guest_test runs as the init of a Linux guest: see package vm.
package guest_test
