package demo

import (
	"io"
	"os"
)

// wantsColour tells whether w is a terminal whose reader has not asked for plain
// text: NO_COLOR set to anything (no-color.org), or a terminal that has no colours.
func wantsColour(w io.Writer, getenv func(string) string) bool {
	if getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
