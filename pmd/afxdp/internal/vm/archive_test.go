package vm

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// system is a root folder with these files.
func system(release string, files map[string]string) fstest.MapFS {
	root := fstest.MapFS{"etc/os-release": {Data: []byte(release)}}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

const bookworm = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n"

func TestMirrorStanza(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       string
	}{
		"deb822": {
			"etc/apt/sources.list.d/debian.sources",
			"# a comment\nTypes: deb\nURIs: http://other.example/x\nSuites: stable\nComponents: main\n\n" +
				"Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/k.gpg\n",
			"components: main\nsigned-by: /usr/share/keyrings/k.gpg\nsuites: " + suites + "\ntypes: deb\nuris: http://mirror.example/debian\n",
		},
		"deb822 with a key inside": {
			"etc/apt/sources.list.d/debian.sources",
			"Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n",
			"components: main\nsigned-by: \n -----BEGIN\n .\n abc\nsuites: " + suites + "\ntypes: deb\nuris: http://mirror.example/debian\n",
		},
		"one line": {
			"etc/apt/sources.list",
			"deb-src http://mirror.example/debian bookworm main\ndeb http://mirror.example/debian bookworm-updates main\ndeb http://mirror.example/debian bookworm main non-free # here\n",
			"components: main\nsuites: " + suites + "\ntypes: deb\nuris: http://mirror.example/debian\n",
		},
		"one line with options": {
			"etc/apt/sources.list.d/x.list",
			"deb [ arch=amd64,arm64 signed-by=/k.gpg ] http://mirror.example/debian bookworm main\n",
			"architectures: amd64 arm64\ncomponents: main\nsigned-by: /k.gpg\nsuites: " + suites + "\ntypes: deb\nuris: http://mirror.example/debian\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := mirrorStanza(system(bookworm, map[string]string{c.file: c.text}))
			require.NoError(t, err)
			require.Equal(t, c.want, s.String())
			again := parseStanzas(s.String())
			require.Len(t, again, 1, "what is written can be read")
			require.Equal(t, s["uris"], again[0]["uris"])
		})
	}
}

func TestNoMirror(t *testing.T) {
	_, err := mirrorStanza(system("ID=ubuntu\nVERSION_CODENAME=noble\n", nil))
	require.ErrorContains(t, err, "ubuntu")
	_, err = mirrorStanza(system(bookworm, nil))
	require.ErrorContains(t, err, "no source of bookworm main")
	_, err = mirrorStanza(system(bookworm, map[string]string{
		"etc/apt/sources.list.d/off.sources": "Types: deb\nURIs: http://m/d\nSuites: bookworm\nComponents: main\nEnabled: no\n",
	}))
	require.ErrorContains(t, err, "no source of bookworm main")
	_, err = mirrorStanza(fstest.MapFS{})
	require.Error(t, err)
}

func FuzzSources(f *testing.F) {
	f.Add("deb [a=b,c] http://m/d bookworm main # x\n")
	f.Add("Types: deb\nURIs: u\nSigned-By:\n a\n\n\n b\nx")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseLines(text) {
			if s["uris"] == "" || s["suites"] == "" || s["components"] == "" {
				t.Fatalf("an incomplete source: %v", s)
			}
		}
		for _, s := range parseStanzas(text) {
			if len(s) == 0 {
				t.Fatal("an empty stanza")
			}
		}
	})
}
