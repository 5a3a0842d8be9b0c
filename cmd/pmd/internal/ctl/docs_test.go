package ctl

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocumentationListsEveryRoute: docs/api.md has a section for each request, with
// a curl command that makes it, and none for one that does not exist.
func TestDocumentationListsEveryRoute(t *testing.T) {
	b, err := os.ReadFile("../../../../docs/api.md")
	require.NoError(t, err)
	sections := map[string]string{}
	for _, part := range strings.Split(string(b), "\n### ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		sections[title] = text
	}
	for _, r := range Routes() {
		title := r.Method + " " + r.Path
		text, ok := sections[title]
		if !assert.True(t, ok, "docs/api.md has no section %q", title) {
			continue
		}
		delete(sections, title)
		var command string
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "    curl ") {
				command = line
			}
		}
		assert.Contains(t, command, "--unix-socket", title)
		path := strings.NewReplacer("{name}", "eth1", "{cpu}", "2").Replace(r.Path)
		assert.True(t, strings.HasSuffix(command, "http://pmd"+path), "%s: %s", title, command)
		if r.Method != http.MethodGet {
			assert.Contains(t, command, "-X "+r.Method, title)
		}
		if r.Body != "" {
			assert.Contains(t, command, "-d '", title)
		}
	}
	assert.Empty(t, sections, "docs/api.md describes requests that do not exist")
}
