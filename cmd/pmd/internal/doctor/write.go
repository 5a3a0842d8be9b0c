package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"example.org/pmd/cmd/pmd/internal/show"
)

// width is how wide the text is, in characters. Commands are never broken: they are
// to be copied.
const width = 80

// Columns: the status stands behind two blanks, the text behind both.
const (
	indent     = "  "
	textColumn = len(indent) + len(Problem) + len(indent)
)

// colours of the statuses.
var colours = map[Status]string{OK: show.Green, Advice: show.Yellow, Problem: show.Red}

// Write writes the report for a person: a heading an area or interface, a line or
// more a finding, its commands below it, and the sum at the end.
func (r *Report) Write(w io.Writer, colour bool) error {
	var b strings.Builder
	title := ""
	for _, f := range r.Findings {
		t := f.Area
		if f.Area == AreaInterface {
			t = f.Area + " " + f.Subject
		}
		if t != title {
			if title != "" {
				b.WriteString("\n")
			}
			title = t
			b.WriteString(show.Paint(colour, show.Bold, t) + "\n")
		}
		pad := strings.Repeat(" ", textColumn-len(indent)-len(f.Status))
		b.WriteString(indent + show.Paint(colour, colours[f.Status], string(f.Status)) + pad)
		b.WriteString(strings.Join(wrap(f.Text, width-textColumn), "\n"+strings.Repeat(" ", textColumn)) + "\n")
		for _, c := range f.Commands {
			b.WriteString(strings.Repeat(" ", textColumn) + indent + show.Paint(colour, show.Bold, c) + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.sum())
	_, err := io.WriteString(w, b.String())
	return err
}

// sum tells in a line how it stands.
func (r *Report) sum() string {
	n := r.Count(Problem)
	problems := count(n, "problem")
	if n == 0 {
		problems = "no problem"
	}
	return fmt.Sprintf("%s, %d advice, %d ok", problems, r.Count(Advice), r.Count(OK))
}

// wrap divides text at blanks into lines of at most n characters, unless a word is
// longer.
func wrap(text string, n int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > n {
			lines, line = append(lines, line), word
			continue
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
