//go:build !unix

package pmdtest

const canPoll = false

func polls(int) bool { return false }
