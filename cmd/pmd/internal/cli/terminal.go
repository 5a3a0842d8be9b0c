package cli

import (
	"io"
	"os"

	"github.com/charmbracelet/x/term"
)

// isTerminal tells whether w is a terminal that can be drawn on.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(f.Fd()) && term.IsTerminal(os.Stdin.Fd())
}
