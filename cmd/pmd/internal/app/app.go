package app

import (
	"context"
	"io"
	"os"
)

// App is the process as commands see it.
type App struct {
	// Stdout takes what a command is asked for, Stderr what it has to say.
	Stdout, Stderr io.Writer
	// Signals delivers the signals that ask for an end. Nil means that none
	// ever arrives.
	Signals <-chan os.Signal
	// Exit ends the process at once, for a second signal while stopping. It
	// does not return.
	Exit func(code int)
}

// Interruptible returns a context that the first signal cancels. The caller
// calls the returned function when it is done; after that Signals is free for
// another receiver.
func (a *App) Interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-a.Signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-ended
	}
}
