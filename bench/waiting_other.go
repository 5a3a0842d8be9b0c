//go:build !linux

package bench

import (
	"context"
	"time"
)

func (r *Rig) threads(context.Context) ([]int, error) { return nil, nil }

func waitingTimes([]int) []time.Duration { return nil }
