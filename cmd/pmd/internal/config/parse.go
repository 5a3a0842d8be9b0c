package config

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// MaxSize is the longest file, in bytes.
const MaxSize = 64 << 10

// Names of tables: of those that describe ports, what their interfaces are, and how cores
// poll.
const (
	Port      = "port"
	Interface = "interface"
	Core      = "core"
)

// Mistake is something wrong in a file.
type Mistake struct {
	// Line is where, from 1; 0 if it is about the file as a whole.
	Line int `json:"line"`
	// Key is the key concerned, empty if there is none.
	Key string `json:"key,omitempty"`
	// Text says what is wrong and what to write instead.
	Text string `json:"text"`
}

// String returns the mistake behind the name of its file, as compilers do.
func (m Mistake) String(file string) string {
	s := file
	if m.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, m.Line)
	}
	if m.Key != "" {
		s += ": " + m.Key
	}
	return s + ": " + m.Text
}

// Sort puts mistakes in order of their lines.
func Sort(ms []Mistake) {
	sort.SliceStable(ms, func(i, j int) bool { return ms[i].Line < ms[j].Line })
}

// Kind is what a value is in TOML.
type Kind string

// The kinds of value.
const (
	String  Kind = "a string"
	Integer Kind = "an integer"
	Float   Kind = "a number with a point"
	Bool    Kind = "true or false"
	List    Kind = "a list"
	Other   Kind = "a table or a date"
)

// Value is a value in a file.
type Value struct {
	Kind Kind
	Line int
	// Text is the value of a string, or how else it is written.
	Text string
	// Items are those of a List.
	Items []Value
}

// Entry is a key with its value.
type Entry struct {
	Key   string
	Value Value
}

// Table is a table [[port]], [[interface]] or [[core]].
type Table struct {
	Line    int
	Entries []Entry
}

// Document is a file.
type Document struct {
	// Entries are those above the tables, in order.
	Entries    []Entry
	Ports      []Table
	Interfaces []Table
	Cores      []Table
}

// named returns where tables of a name are, or nil if there are none.
func (d *Document) named(name string) *[]Table {
	switch name {
	case Port:
		return &d.Ports
	case Interface:
		return &d.Interfaces
	case Core:
		return &d.Cores
	}
	return nil
}

// tableNames lists the tables for people.
const tableNames = "[[" + Port + "]], [[" + Interface + "]] and [[" + Core + "]]"

// maxSyntax bounds how many lines that are no TOML are told of.
const maxSyntax = 20

// Parse reads a file. Entries that can be read are in the document even if there
// are mistakes elsewhere.
func Parse(data []byte) (*Document, []Mistake) {
	if len(data) > MaxSize {
		return &Document{}, []Mistake{{Text: fmt.Sprintf("the file is longer than %d bytes", MaxSize)}}
	}
	if !utf8.Valid(data) {
		line := 1
		for rest := data; ; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n <= 1 {
				break
			}
			if r == '\n' {
				line++
			}
			rest = rest[n:]
		}
		return &Document{}, []Mistake{{Line: line, Text: "the file is no text: TOML is UTF-8"}}
	}
	data = bytes.Clone(data) // lines are emptied below
	var mistakes []Mistake
	for range maxSyntax {
		var all map[string]any
		err := toml.Unmarshal(data, &all)
		if err == nil {
			doc, more := walk(data)
			mistakes = append(mistakes, more...)
			Sort(mistakes)
			return doc, mistakes
		}
		m := syntax(err)
		mistakes = append(mistakes, m)
		if !blank(data, m.Line) {
			break
		}
	}
	return &Document{}, mistakes
}

// syntax makes a mistake of an error of the parser.
func syntax(err error) Mistake {
	m := Mistake{Line: 1, Text: strings.TrimPrefix(err.Error(), "toml: ")}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		m.Line, _ = de.Position()
		m.Key = strings.Join(de.Key(), ".")
	}
	m.Text = "no TOML: " + m.Text
	return m
}

// blank empties a line, and reports whether there was something in it.
func blank(data []byte, line int) bool {
	for i := 1; i < line; i++ {
		nl := bytes.IndexByte(data, '\n')
		if nl < 0 {
			return false
		}
		data = data[nl+1:]
	}
	if nl := bytes.IndexByte(data, '\n'); nl >= 0 {
		data = data[:nl]
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return false
	}
	for i := range data {
		data[i] = ' '
	}
	return true
}

// walker makes a document of what the parser finds.
type walker struct {
	parser   unstable.Parser
	newlines []int
	doc      Document
	mistakes []Mistake
	// at is where entries go, nil inside a table that is refused.
	at *[]Entry
}

// walk reads a file that is good TOML.
func walk(data []byte) (*Document, []Mistake) {
	w := &walker{}
	for i, b := range data {
		if b == '\n' {
			w.newlines = append(w.newlines, i)
		}
	}
	w.at = &w.doc.Entries
	w.parser.Reset(data)
	for w.parser.NextExpression() {
		w.expression(w.parser.Expression())
	}
	if err := w.parser.Error(); err != nil { // it was good a moment ago
		w.mistakes = append(w.mistakes, syntax(err))
	}
	return &w.doc, w.mistakes
}

func (w *walker) wrong(line int, key, format string, args ...any) {
	w.mistakes = append(w.mistakes, Mistake{line, key, fmt.Sprintf(format, args...)})
}

// line returns the line of a node, or of the first below it that has a place.
func (w *walker) line(n *unstable.Node) int {
	for m := n; m.Valid(); {
		if m.Raw.Length > 0 {
			return 1 + sort.SearchInts(w.newlines, int(m.Raw.Offset))
		}
		it := m.Children()
		if !it.Next() {
			break
		}
		m = it.Node()
	}
	return 0
}

// key returns a dotted key, its parts and its line.
func (w *walker) key(n *unstable.Node) (parts []string, line int) {
	for it := n.Key(); it.Next(); {
		k := it.Node()
		parts = append(parts, string(k.Data))
		if line == 0 {
			line = w.line(k)
		}
	}
	return parts, line
}

func (w *walker) expression(n *unstable.Node) {
	parts, line := w.key(n)
	name := strings.Join(parts, ".")
	switch n.Kind {
	case unstable.ArrayTable:
		tables := w.doc.named(name)
		if tables == nil {
			w.wrong(line, name, "there is no such table; there are "+tableNames)
			w.at = nil
			return
		}
		*tables = append(*tables, Table{Line: line})
		w.at = &(*tables)[len(*tables)-1].Entries
	case unstable.Table:
		if w.doc.named(name) != nil {
			w.wrong(line, name, "write [[%s]], with two brackets: there may be several", name)
		} else {
			w.wrong(line, name, "there is no such table; there are "+tableNames+", and other keys stand above the first")
		}
		w.at = nil
	case unstable.KeyValue:
		switch {
		case w.at == nil:
		case len(parts) > 1:
			w.wrong(line, name, "a key has no dots here")
		default:
			v := w.value(n.Value())
			if v.Line == 0 {
				v.Line = line
			}
			*w.at = append(*w.at, Entry{name, v})
		}
	}
}

func (w *walker) value(n *unstable.Node) Value {
	v := Value{Line: w.line(n), Text: string(n.Data)}
	switch n.Kind {
	case unstable.String:
		v.Kind = String
	case unstable.Integer:
		v.Kind = Integer
		if n, err := strconv.ParseInt(v.Text, 0, 64); err == nil {
			v.Text = strconv.FormatInt(n, 10) // 0x40 and 1_000 are numbers too
		}
	case unstable.Float:
		v.Kind = Float
	case unstable.Bool:
		v.Kind = Bool
	case unstable.Array:
		v.Kind = List
		for it := n.Children(); it.Next(); {
			item := w.value(it.Node())
			v.Items = append(v.Items, item)
		}
	default:
		v.Kind = Other
	}
	return v
}

// Nearest returns the candidate that a word was probably meant to be, or "".
func Nearest(word string, candidates []string) string {
	best, least := "", len(word)/3+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d < least {
			best, least = c, d
		}
	}
	return best
}

// Unknown says that there is no such key, and which was probably meant.
func Unknown(key string, candidates []string) string {
	if near := Nearest(key, candidates); near != "" {
		return fmt.Sprintf("there is no such key; did you mean %s?", near)
	}
	return "there is no such key; there are " + strings.Join(candidates, ", ")
}

// distance is the number of letters to insert, remove, change or swap with their
// neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
