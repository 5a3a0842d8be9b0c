package app_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"example.org/pmd/cmd/pmd/internal/app"
)

func TestInterruptible(t *testing.T) {
	signals := make(chan os.Signal, 2)
	a := &app.App{Signals: signals}
	ctx, done := a.Interruptible(context.Background())
	assert.NoError(t, ctx.Err())
	signals <- os.Interrupt
	select {
	case <-ctx.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("a signal did not cancel the context")
	}
	done()

	// The receiver has gone: the next signal stays for whoever comes.
	signals <- os.Interrupt
	assert.Len(t, signals, 1)
}

func TestInterruptibleWithoutSignals(t *testing.T) {
	ctx, done := (&app.App{}).Interruptible(context.Background())
	done()
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
}

func ExampleApp_Interruptible() {
	signals := make(chan os.Signal, 1)
	a := &app.App{Stdout: os.Stdout, Signals: signals}
	ctx, done := a.Interruptible(context.Background())
	defer done()
	signals <- os.Interrupt
	<-ctx.Done()
	fmt.Fprintln(a.Stdout, "interrupted")
	// Output: interrupted
}
