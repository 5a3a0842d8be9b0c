package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.org/pmd/bench"
)

const (
	// windowLength is how long a program measures at a time: long enough for some hundred
	// turns of the poll loop, and short beside what the host does slowly.
	windowLength = 20 * time.Millisecond
	// quads is how many times the programs of a pair take turns, A B B A.
	quads = 12

	// With AF_XDP the sender begins and ends with each window, which takes 25 ms, and the
	// kernel's side settles.
	windowLengthAFXDP = 100 * time.Millisecond
	quadsAFXDP        = 4

	// pairTimeout is far more than a pair takes.
	pairTimeout = 2 * time.Minute

	// maxWaiting is the share of a window that a polling thread may wait for its CPU.
	maxWaiting = 0.10
)

// pair is what a pair of processes found, one of each side.
type pair struct {
	// ns are the times of a packet, the base's first, and ratio the head's to the base's.
	ns    [2]float64
	ratio float64
	// void tells why it does not count; empty if it does.
	void string
}

// sideError is that of a side.
type sideError struct {
	side int
	error
}

func (e sideError) Unwrap() error { return e.error }

// measurePair starts both programs, lets them measure short windows by turns, and returns the
// median of the ratios of turns. Neither is always started first, or measures first.
func measurePair(ctx context.Context, programs [2]string, s bench.Scenario, number int) (p pair, err error) {
	// Those that do not end by themselves are made to.
	ctx, cancel := context.WithTimeout(ctx, pairTimeout)
	var sides [2]*program
	defer func() {
		cancel()
		for _, x := range sides {
			if x != nil {
				_ = x.ended() // its own error, if any, was returned
			}
		}
	}()
	order := [2]int{number % 2, 1 - number%2}
	steal := stolen()
	for _, i := range order {
		if sides[i], err = start(ctx, programs[i], s); err != nil {
			return p, sideError{i, err}
		}
	}
	for _, i := range order {
		if err := sides[i].await(s); err != nil {
			return p, sideError{i, err}
		}
	}
	if a, b := sides[0].ready.Polled, sides[1].ready.Polled; !slices.Equal(a, b) {
		return p, fmt.Errorf("%w: the base polls on CPUs %v, the head on %v", ErrSource, a, b)
	}
	length, n := windowLength, quads
	if s.Driver == bench.DriverAFXDP {
		length, n = windowLengthAFXDP, quadsAFXDP
	}
	var ratios []float64
	var ns [2][]float64
	for turn := -1; turn < n; turn++ { // the first is to warm up
		q, err := quad(sides, length, order[(turn+1)%2])
		if err != nil {
			return p, err
		}
		if turn < 0 {
			continue
		}
		if q.void != "" {
			p.void = q.void
			continue
		}
		ratios = append(ratios, q.ratio)
		for i := range ns {
			ns[i] = append(ns[i], q.ns[i])
		}
	}
	for i, x := range sides {
		if err := x.end(); err != nil {
			return p, sideError{i, err}
		}
	}
	if 2*len(ratios) <= n {
		return p, nil
	}
	p.void = robbed(sides[0].ready.Polled, steal)
	p.ratio = median(ratios)
	for i := range ns {
		p.ns[i] = median(ns[i])
	}
	return p, nil
}

// quad has the programs measure a window each, and again in the opposite order, so that what
// changes evenly meanwhile meets both alike.
func quad(sides [2]*program, length time.Duration, first int) (q pair, err error) {
	var sum [2]bench.Window
	for _, i := range []int{first, 1 - first, 1 - first, first} {
		w, err := sides[i].window(length)
		if err != nil {
			return q, sideError{i, err}
		}
		if w.Waited > maxWaiting {
			q.void = fmt.Sprintf("a polling thread waited for its CPU %.0f %% of the time", 100*w.Waited)
		}
		sum[i].Packets += w.Packets
		sum[i].Seconds += w.Seconds
	}
	for i, w := range sum {
		if w.Packets == 0 || w.Seconds <= 0 {
			q.void = "no frame moved"
			return q, nil
		}
		q.ns[i] = 1e9 * w.Seconds * float64(len(sides[i].ready.Polled)) / float64(w.Packets)
	}
	q.ratio = q.ns[1] / q.ns[0]
	return q, nil
}

// sideOf returns the side that an error is about.
func sideOf(err error) (int, bool) {
	var e sideError
	ok := errors.As(err, &e)
	return e.side, ok
}
