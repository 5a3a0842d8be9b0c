//go:build !linux

package dataplane

import (
	"time"
)

// pollSet is what a worker sleeps on: nothing can be waited for here, so that it
// sleeps for short times.
type pollSet struct{}

func (*pollSet) reset(int) {}
func (*pollSet) add(int)   {}

func (*pollSet) wait(limit time.Duration) { time.Sleep(min(limit, shortSleep)) }
