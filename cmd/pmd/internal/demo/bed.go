package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.org/pmd/pmd"
)

// bed is what surrounds the dataplane: hosts that talk through it, a source for the
// flood and a counter at the far end. Its calls come in the order they stand here,
// from one goroutine.
type bed interface {
	// title says what the bed is, picture how its parts hang together. %s in
	// the picture is where pmd polls.
	title() string
	picture() string
	// registry holds the drivers of ports.
	registry() *pmd.Registry
	// ports are what the engine opens: portIn, then portOut.
	ports() []pmd.Spec
	// checks are the tries of ordinary traffic; the first tells whether
	// anything gets through at all.
	checks() []try
	// prepare makes the flood's source and the counter. Between it and pour
	// no frame moves that nobody asked for.
	prepare() error
	// pour offers frames for this long, from this CPU (-1: any). The flood
	// that it returns lacks arrived, which may still grow.
	pour(ctx context.Context, cpu int, length time.Duration) (flood, error)
	// arrived is the number of frames that came out since prepare.
	arrived() (uint64, error)
	// calm gives up what prepare made, so that ordinary traffic flows again.
	calm() error
	// hints are commands with which to look at the bed while it is there.
	hints() []string
	// hangUp lets go of the dataplane's ports; the engine runs still.
	hangUp() error
	// close removes everything. The engine has stopped.
	close() error
}

// try is a check that needs time.
type try struct {
	name string
	// limit bounds it. Where the first try failed, shortLimit does.
	limit time.Duration
	// run returns what it found in one line. With an error, the line may be
	// empty.
	run func(ctx context.Context) (detail string, err error)
}

// shortLimit bounds a try on a path that has carried nothing so far: a little more
// than the datagrams take to be sent.
const shortLimit = 2 * time.Second

// check makes the try.
func (t try) check(ctx context.Context) Check {
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	detail, err := t.run(ctx)
	if err != nil {
		detail = oneLine(err)
		if errors.Is(err, context.DeadlineExceeded) {
			detail = fmt.Sprintf("not done within %v: %s", t.limit, detail)
		}
	}
	return Check{t.name, err == nil, detail}
}
