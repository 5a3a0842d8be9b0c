package show

import (
	"io"
	"strings"
	"unicode/utf8"
)

// gap stands between two columns.
const gap = "  "

// Table is a table being filled. Make one with NewTable.
type Table struct {
	right []bool
	rows  [][]string
}

// NewTable returns a table with this header. A column whose title ends in "→"
// holds numbers, which are aligned to the right; the mark is not shown.
func NewTable(titles ...string) *Table {
	t := &Table{}
	header := make([]string, len(titles))
	for i, title := range titles {
		name, number := strings.CutSuffix(title, "→")
		header[i] = name
		t.right = append(t.right, number)
	}
	t.rows = append(t.rows, header)
	return t
}

// Row adds a row. Cells that are missing are empty; an empty cell is shown as "-".
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.right))
	copy(row, cells)
	for i, c := range row {
		if c == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// Rows returns the number of rows without the header.
func (t *Table) Rows() int { return len(t.rows) - 1 }

// Write writes the table, each line behind indent. Lines have no blanks at their
// end.
func (t *Table) Write(w io.Writer, indent string) error {
	widths := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i > 0 {
				line.WriteString(gap)
			}
			if t.right[i] {
				line.WriteString(pad + c)
			} else {
				line.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
