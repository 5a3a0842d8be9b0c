package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"example.org/pmd/cmd/pmd/internal/engine"
	"example.org/pmd/cmd/pmd/internal/show"
	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/cpu"
	"example.org/pmd/dataplane"
)

// options are what a demo is run with.
type options struct {
	cores cpu.Set
	mode  string // forwarding mode
	// length is how long the flood is measured.
	length time.Duration
	// memory takes the bed in memory without trying the real one, and frames
	// is the length of its stream, 0 for the usual one.
	memory bool
	frames uint64
	// keep leaves it running with this socket.
	keep   bool
	socket string
	// table is nil if nobody wants to watch, whole if nobody wants the report
	// in one piece. That is called once, as soon as the report is final.
	table *printer
	whole func(*Report) error
	// notes takes what is to be said besides, line by line.
	notes io.Writer
}

// floodTime is how long the flood is measured: long enough for a steady rate, short
// enough to be waited for.
const floodTime = 2200 * time.Millisecond

// errInterrupted is how a demo ends that was told to.
var errInterrupted = errors.New("demo: interrupted; everything it made is removed")

// demo is one run.
type demo struct {
	options
	report  *Report
	began   time.Time
	bed     bed
	engine  *engine.Engine
	through bool // something got through
	// crashed takes the words of workers that failed.
	crashed chan string
}

// run runs a demo. The report is never nil; it is complete if the error is nil or
// names checks that failed. Everything that was made is removed when run returns.
func run(ctx context.Context, o options) (*Report, error) {
	d := &demo{options: o, report: newReport(), began: time.Now(), crashed: make(chan string, 16)}
	if err := d.start(ctx); err != nil {
		if mistaken(err) {
			return d.report, err
		}
		return d.report, errors.Join(ending(ctx, err, nil), d.publish())
	}
	err := d.watch(ctx)
	if err == nil && o.keep {
		d.report.OK = d.report.sound()
		err = errors.Join(d.publish(), d.verdict("It keeps running."), d.linger(ctx), d.stop())
	} else {
		err = ending(ctx, err, d.stop())
		d.report.OK = err == nil && d.report.sound()
		if err == nil {
			err = d.verdict("Everything the demo made is removed.")
		}
		err = errors.Join(err, d.publish())
	}
	if err == nil && !d.report.sound() {
		err = d.failed()
	}
	return d.report, err
}

// publish gives the report to whoever wants it as a whole.
func (d *demo) publish() error {
	if d.whole == nil {
		return nil
	}
	return d.whole(d.report)
}

// verdict ends the table.
func (d *demo) verdict(after string) error {
	if d.table == nil {
		return nil
	}
	d.table.verdict(d.report, time.Since(d.began), after)
	return d.table.err
}

// ending returns how a demo ended: err is what went wrong in it, left what went
// wrong when it was removed. An interrupt explains the one, but not the other.
func ending(ctx context.Context, err, left error) error {
	switch {
	case left != nil && ctx.Err() != nil:
		return fmt.Errorf("demo: interrupted; removing what it made: %w", left)
	case left != nil:
		return errors.Join(err, fmt.Errorf("demo: removing what it made: %w", left))
	case ctx.Err() != nil:
		return errInterrupted
	}
	return err
}

// failed names the checks that did not pass.
func (d *demo) failed() error {
	var names []string
	for _, c := range d.report.Checks {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	err := fmt.Errorf("demo: %d of %d checks failed: %s", len(names), len(d.report.Checks), strings.Join(names, ", "))
	select {
	case why := <-d.crashed:
		err = fmt.Errorf("%w; %s", err, why)
	default:
	}
	return err
}

// start makes a bed and starts the engine in it.
func (d *demo) start(ctx context.Context) error {
	if !d.memory {
		err := d.startLab(ctx)
		if err == nil {
			return nil
		}
		if !lacking(err) || ctx.Err() != nil {
			return fmt.Errorf("demo: %w", err)
		}
		fmt.Fprintf(d.notes, "pmd: demo: no AF_XDP here, in-memory ports instead: %s\n", oneLine(err))
	}
	d.bed = newMemoryBed(d.frames)
	if err := d.startEngine(ctx); err != nil {
		return fmt.Errorf("demo: %w", errors.Join(err, d.bed.hangUp(), d.bed.close()))
	}
	return nil
}

// startLab makes the real bed.
func (d *demo) startLab(ctx context.Context) error {
	lab, err := newLabBed()
	if err != nil {
		return err
	}
	d.bed = lab
	if err := d.startEngine(ctx); err != nil {
		return errors.Join(err, lab.close())
	}
	return nil
}

func (d *demo) startEngine(ctx context.Context) (err error) {
	// An interrupt must not stop the engine by itself: the far ends let go of
	// its frames first.
	d.engine, err = engine.Start(context.WithoutCancel(ctx), engine.Config{
		Registry: d.bed.registry(), Ports: d.bed.ports(), Mode: d.mode, Cores: d.cores, Confine: true,
		OnEvent: func(e dataplane.Event) {
			if e.Kind != dataplane.EventWorkerFailed {
				return
			}
			select {
			case d.crashed <- oneLine(errors.New(e.Text)):
			default:
			}
		},
	})
	return err
}

// stopTime bounds how long the engine may take to stop. Some tens of milliseconds
// are usual.
const stopTime = 10 * time.Second

// stop takes everything down again. It does not heed the context: what was made
// has to go, also if the engine does not.
func (d *demo) stop() error {
	stopped := make(chan error, 1)
	go func() {
		err := d.bed.hangUp()
		d.engine.Stop()
		stopped <- errors.Join(err, d.engine.Wait())
	}()
	var err error
	select {
	case err = <-stopped:
	case <-time.After(stopTime):
		err = fmt.Errorf("the engine has not stopped within %v", stopTime)
	}
	return errors.Join(err, d.bed.close())
}

// watch makes all checks and fills the report. Its error means that they could not
// be made; one that failed is in the report only.
func (d *demo) watch(ctx context.Context) error {
	s, err := d.stats(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.Ports {
		d.report.Ports = append(d.report.Ports, Port{p.Name, p.Driver, p.Mode, len(p.Queues)})
	}
	if d.table != nil {
		d.table.header(d.bed.title(), fmt.Sprintf(d.bed.picture(), d.where()), d.report.Ports)
	}
	for i, t := range d.bed.checks() {
		if i > 0 && !d.through {
			t.limit = min(t.limit, shortLimit)
		}
		c := t.check(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.through = d.through || i == 0 && c.OK
		d.enter(c)
		if d.table != nil && d.table.err != nil {
			return d.table.err // nobody reads on
		}
	}
	l, err := d.pour(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.settle(l, err)
	if d.table != nil {
		d.table.results(d.report)
	}
	return nil
}

// enter puts a check into the report and shows it.
func (d *demo) enter(c Check) {
	d.report.add(c)
	if d.table != nil {
		d.table.check(c)
	}
}

// where says where pmd polls.
func (d *demo) where() string {
	poll, _ := d.engine.Cores()
	names := make([]string, len(poll))
	for i, id := range poll {
		names[i] = show.CPU(id)
	}
	return "CPU " + strings.Join(names, ",")
}

// How long the end of the flood is waited for: the last frames to arrive, and the walk
// over the pool to find the workers at a stand. A machine that is busy with other
// things lets a worker stand still in the middle of a burst, so that walks fail, for
// longer than any frame is on its way.
const (
	settleTime  = 4 * time.Second
	accountTime = 20 * time.Second
)

// pour lets the flood through and reads all counters before and after it. The
// ledger is complete if after is not nil.
func (d *demo) pour(ctx context.Context) (l ledger, err error) {
	if err := d.bed.prepare(); err != nil {
		return l, errors.Join(err, d.bed.calm())
	}
	defer func() { err = errors.Join(err, d.bed.calm()) }()
	if l.before, err = d.quiet(ctx); err != nil {
		return l, err
	}
	early, err := d.bed.arrived()
	if err != nil {
		return l, err
	}
	length := d.length
	if !d.through {
		length = min(length, shortLimit/8)
	}
	if l.flood, err = d.bed.pour(ctx, d.generatorCPU(), length); err != nil {
		return l, err
	}
	// Whatever is on its way arrives within microseconds, on a busy machine
	// within milliseconds. Counters and account must be of the same moment.
	for began := time.Now(); ; {
		n, err := d.bed.arrived()
		if err != nil {
			return l, err
		}
		l.flood.arrived = n - early
		if l.after, err = d.stats(ctx); err != nil {
			return l, err
		}
		fresh := l.after.AccountAge == 0 && l.after.AccountError == ""
		took := time.Since(began)
		if fresh && (l.balanced() || took > settleTime) || took > accountTime {
			return l, nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return l, err
		}
	}
}

// stats reads the counters. A worker that shares its CPU with others may be late to
// answer; it is asked again, for some time.
func (d *demo) stats(ctx context.Context) (*engine.Stats, error) {
	for end := time.Now().Add(settleTime); ; {
		s, err := d.engine.Stats(ctx)
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || time.Now().After(end) {
			return s, err
		}
	}
}

// quiet returns the counters once they have stopped moving.
func (d *demo) quiet(ctx context.Context) (*engine.Stats, error) {
	var last uint64
	for end := time.Now().Add(settleTime / 4); ; {
		s, err := d.stats(ctx)
		if err != nil {
			return nil, err
		}
		rx, tx, dropped, inHand := ledger{after: s}.sums()
		now := rx + tx + dropped
		if now == last && inHand == 0 || time.Now().After(end) {
			return s, nil
		}
		last = now
		if err := pause(ctx, 30*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// generatorCPU returns a CPU that nobody polls on, -1 if there is none to spare.
func (d *demo) generatorCPU() int {
	_, rest := d.engine.Cores()
	if rest.IsEmpty() {
		return -1
	}
	return rest.Min()
}

// settle makes the checks of the flood and of the accounts.
func (d *demo) settle(l ledger, err error) {
	if err != nil || l.after == nil {
		why := "the flood did not run"
		if err != nil {
			why = oneLine(err)
		}
		for _, name := range ledgerChecks {
			d.enter(Check{name, false, why})
		}
		return
	}
	for _, c := range l.checks() {
		d.enter(c)
	}
	d.report.Throughput = Throughput{PPS: float64(int64(l.flood.pps)), FrameSize: l.flood.size, Seconds: thousandth(l.flood.seconds)}
	d.report.Frames = frames(l.after)
	d.report.Drops = drops(l.after)
}

// thousandth cuts a number of seconds off after the milliseconds.
func thousandth(s float64) float64 { return float64(int64(s*1000)) / 1000 }

// mistaken tells whether an error is about the command line, so that there is no
// demo to report on.
func mistaken(err error) bool { return usage.Is(err) }
