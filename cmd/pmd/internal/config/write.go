package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Write writes a document that Parse reads back as it is.
func (d *Document) Write(w io.Writer) error {
	var b strings.Builder
	write := func(entries []Entry) {
		for _, e := range entries {
			b.WriteString(e.Key + " = ")
			e.Value.write(&b)
			b.WriteString("\n")
		}
	}
	write(d.Entries)
	for _, k := range []struct {
		name   string
		tables []Table
	}{{Port, d.Ports}, {Interface, d.Interfaces}, {Core, d.Cores}} {
		for _, t := range k.tables {
			b.WriteString("\n[[" + k.name + "]]\n")
			write(t.Entries)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v Value) write(b *strings.Builder) {
	switch v.Kind {
	case String:
		quote(b, v.Text)
	case List:
		b.WriteString("[")
		for i, item := range v.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			item.write(b)
		}
		b.WriteString("]")
	default:
		b.WriteString(v.Text)
	}
}

// String returns the value as a file has it.
func (v Value) String() string {
	var b strings.Builder
	v.write(&b)
	return b.String()
}

// quote writes a basic string (TOML 1.0.0, section String).
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// Text returns a string value.
func Text(s string) Value { return Value{Kind: String, Text: s} }

// Option returns the value of a port's option as a file shows it: a number or a
// switch if it looks like one.
func Option(s string) Value {
	switch s {
	case "on":
		return Value{Kind: Bool, Text: "true"}
	case "off":
		return Value{Kind: Bool, Text: "false"}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return Value{Kind: Integer, Text: s}
	}
	return Text(s)
}

// Option returns what Option of the package made the value of, and whether it can
// be one.
func (v Value) Option() (string, bool) {
	switch v.Kind {
	case Bool:
		if v.Text == "true" {
			return "on", true
		}
		return "off", true
	case String, Integer, Float:
		return v.Text, true
	}
	return "", false
}
