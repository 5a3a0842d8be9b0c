package vm

import (
	"fmt"
	"slices"
	"strings"
)

// Row is what one driver has on one kernel.
type Row struct {
	// Release is the kernel's.
	Release string
	Offer
}

// Table returns the rows as a table in Markdown, whose text lines up too.
func Table(rows []Row) string {
	cells := [][]string{{"kernel", "driver"}}
	for _, f := range Features() {
		cells[0] = append(cells[0], string(f))
	}
	for _, r := range rows {
		line := []string{r.Release, "`" + r.Driver + "`"}
		for _, f := range Features() {
			has := r.Has[f]
			if has == "" {
				has = "–"
			}
			line = append(line, has)
		}
		cells = append(cells, line)
	}
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	rule := make([]string, len(width))
	for i, w := range width {
		rule[i] = strings.Repeat("-", w)
	}
	var b strings.Builder
	for _, line := range slices.Insert(cells, 1, rule) {
		for i, c := range line {
			fmt.Fprintf(&b, "| %s%s ", c, strings.Repeat(" ", width[i]-len([]rune(c))))
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// Marks around what is generated in docs/drivers.md.
const (
	beginMark = "<!-- generated: begin -->\n"
	endMark   = "<!-- generated: end -->\n"
)

// replaceGenerated puts text between the marks of a document.
func replaceGenerated(doc, text string) (string, error) {
	head, rest, ok := strings.Cut(doc, beginMark)
	_, tail, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return "", fmt.Errorf("the document has no lines %q and %q", strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return head + beginMark + text + endMark + tail, nil
}
