package show

import (
	"io"
	"os"
)

// WantsColour tells whether w is a terminal whose reader has not asked for plain
// text: NO_COLOR set to anything (no-color.org), or a terminal that has no colours.
func WantsColour(w io.Writer, getenv func(string) string) bool {
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

// Colours of [Paint]: SGR parameters (ECMA-48, 8.3.117).
const (
	Bold   = "1"
	Dim    = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// Paint gives s a colour, if the reader can see it.
func Paint(colour bool, sgr, s string) string {
	if !colour {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}
